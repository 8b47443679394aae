// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.cbw;

import java.util.concurrent.atomic.AtomicLongArray;

/** A set of a disk's units: a bit each. Thread-safe. */
final class UnitSet {
    private final AtomicLongArray words;

    UnitSet(long unitCount) {
        words = new AtomicLongArray(Math.toIntExact((unitCount + 63) / 64));
    }

    boolean contains(long unit) {
        return (words.get((int) (unit >>> 6)) & 1L << unit) != 0;
    }

    void add(long unit) {
        long bit = 1L << unit;
        words.getAndUpdate((int) (unit >>> 6), word -> word | bit);
    }
}

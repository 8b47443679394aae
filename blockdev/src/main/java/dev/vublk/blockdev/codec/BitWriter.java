// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.codec;

import dev.vublk.blockdev.linux.NativeMemory;

/**
 * Writes bits, the first one lowest, eight bytes at a time. Whoever uses it knows beforehand that there is room, and up to
 * eight bytes more behind it. Belongs to one thread.
 */
final class BitWriter {
    private long start;
    private long address;
    private long pending;
    private int pendingBits;

    void begin(long target) {
        start = target;
        address = target;
        pending = 0;
        pendingBits = 0;
    }

    /** Bits written so far. */
    long bits() {
        return (address - start) * 8 + pendingBits;
    }

    /** Up to 48 bits; those of {@code value} above {@code count} are zero. */
    void put(long value, int count) {
        pending |= value << pendingBits;
        pendingBits += count;
        NativeMemory.putLong(address, pending);
        int whole = pendingBits >>> 3;
        address += whole;
        pending >>>= whole << 3;
        pendingBits &= 7;
    }

    /** Fills up the byte begun; where the next one goes. */
    long align() {
        put(0, -pendingBits & 7);
        return address;
    }

    /** What others wrote from {@link #align} on. */
    void skip(int lengthBytes) {
        address += lengthBytes;
    }

    /** Ends the last byte; how many there are. */
    int finish() {
        return (int) (align() - start);
    }

    // What a loop keeps in locals, and puts back.

    long address() {
        return address;
    }

    long pending() {
        return pending;
    }

    int pendingBits() {
        return pendingBits;
    }

    void set(long newAddress, long newPending, int newPendingBits) {
        address = newAddress;
        pending = newPending;
        pendingBits = newPendingBits;
    }
}

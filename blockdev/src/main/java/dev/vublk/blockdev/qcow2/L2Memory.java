// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import java.util.concurrent.atomic.AtomicLong;

/**
 * The memory that the L2 caches of all images of this process share: they are in Java's heap, and many of them, each within its own
 * bound, would fill it. Thread-safe.
 */
final class L2Memory {
    /** Of the heap. What remains is enough for everything else, whose needs do not grow with the number of disks by much. */
    private static final int PART = 3;

    /** What a slice takes besides its entries. */
    private static final int OVERHEAD_BYTES = 128;

    static final L2Memory OF_PROCESS = new L2Memory(Runtime.getRuntime().maxMemory() / PART);

    private final long maxBytes;
    private final AtomicLong usedBytes = new AtomicLong();

    L2Memory(long maxBytes) {
        this.maxBytes = maxBytes;
    }

    /** How many bytes the caches have together, at most. */
    long maxBytes() {
        return maxBytes;
    }

    /** Whether nothing should come before something goes. */
    boolean isFull() {
        return usedBytes.get() >= maxBytes;
    }

    /** So many slices, of so many bytes each, have come; or, with a negative number, have gone. */
    void add(long slices, long sliceBytes) {
        usedBytes.addAndGet(slices * (sliceBytes + OVERHEAD_BYTES));
    }

    /** How many bytes the caches have now. */
    long usedBytes() {
        return usedBytes.get();
    }
}

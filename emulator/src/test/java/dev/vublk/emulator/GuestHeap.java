// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator;

import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;

/** Hands out pieces of an address range: first fit, neighbours joined again. One thread. */
final class GuestHeap {
    private static final long ALIGNMENT = 64;

    /** Free pieces: address to length. */
    private final TreeMap<Long, Long> free = new TreeMap<>();

    GuestHeap(long address, long lengthBytes) {
        free.put(address, lengthBytes);
    }

    long allocate(long bytes) {
        long length = roundUp(bytes);
        long address = firstFit(length);
        long present = Objects.requireNonNull(free.remove(address));
        if (present > length) {
            free.put(address + length, present - length);
        }
        return address;
    }

    private long firstFit(long length) {
        for (Map.Entry<Long, Long> piece : free.entrySet()) {
            if (piece.getValue() >= length) {
                return piece.getKey();
            }
        }
        throw new AssertionError("the guest has no " + length + " bytes left");
    }

    void release(long address, long bytes) {
        long begin = address;
        long length = roundUp(bytes);
        Map.Entry<Long, Long> before = free.lowerEntry(address);
        if (before != null && before.getKey() + before.getValue() == address) {
            begin = before.getKey();
            length += before.getValue();
        }
        Long behind = free.remove(address + roundUp(bytes));
        free.put(begin, behind == null ? length : length + behind);
    }

    private static long roundUp(long bytes) {
        return Math.max(ALIGNMENT, (bytes + ALIGNMENT - 1) & -ALIGNMENT);
    }
}

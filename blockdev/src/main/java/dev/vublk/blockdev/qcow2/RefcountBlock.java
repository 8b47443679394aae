// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import dev.vublk.blockdev.linux.NativeMemory;

/**
 * Refcounts of any width in a refcount block that lies in native memory. Refcounts of less than a byte fill it from its lowest bit
 * on, larger ones are big-endian. Pure; any thread.
 */
final class RefcountBlock {
    private RefcountBlock() {}

    /** The largest refcount of 2^order bits; as an unsigned number. */
    static long max(int order) {
        return order == 6 ? -1L : (1L << (1 << order)) - 1;
    }

    /** The refcount at {@code index}; one of 64 bits that is negative is larger than any other. */
    static long get(long address, int index, int order) {
        return switch (order) {
            case 0 -> (NativeMemory.getByte(address + (index >> 3)) >> (index & 7)) & 1;
            case 1 -> (NativeMemory.getByte(address + (index >> 2)) >> ((index & 3) * 2)) & 3;
            case 2 -> (NativeMemory.getByte(address + (index >> 1)) >> ((index & 1) * 4)) & 15;
            case 3 -> NativeMemory.getByte(address + index) & 0xff;
            case 4 -> Short.reverseBytes(NativeMemory.getShort(address + 2L * index)) & 0xffff;
            case 5 -> Integer.reverseBytes(NativeMemory.getInt(address + 4L * index)) & 0xffff_ffffL;
            case 6 -> Long.reverseBytes(NativeMemory.getLong(address + 8L * index));
            default -> throw new IllegalArgumentException("refcount order " + order);
        };
    }

    /** Sets a refcount, which must not be larger than {@link #max}. */
    static void set(long address, int index, int order, long refcount) {
        switch (order) {
            case 0, 1, 2 -> setBits(address, index, order, (int) refcount);
            case 3 -> NativeMemory.putByte(address + index, (byte) refcount);
            case 4 -> NativeMemory.putShort(address + 2L * index, Short.reverseBytes((short) refcount));
            case 5 -> NativeMemory.putInt(address + 4L * index, Integer.reverseBytes((int) refcount));
            case 6 -> NativeMemory.putLong(address + 8L * index, Long.reverseBytes(refcount));
            default -> throw new IllegalArgumentException("refcount order " + order);
        }
    }

    /** Whether eight refcounts are 0, of which the first has an index that eight divides. */
    static boolean areEightZero(long address, int index, int order) {
        long at = address + (((long) index << order) >> 3);
        return switch (order) {
            case 0 -> NativeMemory.getByte(at) == 0;
            case 1 -> NativeMemory.getShort(at) == 0;
            case 2 -> NativeMemory.getInt(at) == 0;
            default -> {
                long bits = 0;
                for (int i = 0; i < 1 << order; i += Long.BYTES) {
                    bits |= NativeMemory.getLong(at + i);
                }
                yield bits == 0;
            }
        };
    }

    private static void setBits(long address, int index, int order, int refcount) {
        int perByte = 8 >> order;
        long at = address + index / perByte;
        int shift = (index % perByte) << order;
        int mask = (int) max(order) << shift;
        NativeMemory.putByte(at, (byte) ((NativeMemory.getByte(at) & ~mask) | (refcount << shift)));
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import dev.vublk.blockdev.linux.NativeMemory;

/**
 * Refcounts in a refcount block by address: 2^order bits each, big-endian; of those that share a byte the first one has the
 * lowest bits. Any thread.
 */
final class RefcountEntries {
    private RefcountEntries() {}

    /** The largest refcount of this width; 64 bits count as 63. */
    static long max(int order) {
        return order == 6 ? Long.MAX_VALUE : (1L << (1 << order)) - 1;
    }

    /** A refcount; of 64 bits one that nobody can reach counts as the largest. */
    static long get(long blockAddress, int order, int index) {
        return switch (order) {
            case 0, 1, 2 -> {
                int bits = 1 << order;
                int perByte = 8 >> order;
                int value = NativeMemory.getByte(blockAddress + index / perByte) >> (index % perByte * bits);
                yield value & ((1 << bits) - 1);
            }
            case 3 -> NativeMemory.getByte(blockAddress + index) & 0xff;
            case 4 -> Short.reverseBytes(NativeMemory.getShort(blockAddress + 2L * index)) & 0xffff;
            case 5 -> Integer.reverseBytes(NativeMemory.getInt(blockAddress + 4L * index)) & 0xffff_ffffL;
            default -> {
                long value = Long.reverseBytes(NativeMemory.getLong(blockAddress + 8L * index));
                yield value < 0 ? Long.MAX_VALUE : value;
            }
        };
    }

    /** Sets a refcount, which is at most {@link #max}. */
    static void set(long blockAddress, int order, int index, long value) {
        switch (order) {
            case 0, 1, 2 -> {
                int bits = 1 << order;
                int perByte = 8 >> order;
                long address = blockAddress + index / perByte;
                int shift = index % perByte * bits;
                int mask = ((1 << bits) - 1) << shift;
                NativeMemory.putByte(
                        address, (byte) ((NativeMemory.getByte(address) & ~mask) | ((int) value << shift)));
            }
            case 3 -> NativeMemory.putByte(blockAddress + index, (byte) value);
            case 4 -> NativeMemory.putShort(blockAddress + 2L * index, Short.reverseBytes((short) value));
            case 5 -> NativeMemory.putInt(blockAddress + 4L * index, Integer.reverseBytes((int) value));
            default -> NativeMemory.putLong(blockAddress + 8L * index, Long.reverseBytes(value));
        }
    }

    /** Whether eight refcounts are 0, of which the first has an index that eight divides. */
    static boolean areEightZero(long blockAddress, int order, int index) {
        long at = blockAddress + byteOffset(order, index);
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

    /** The byte in the block where a refcount begins. */
    static long byteOffset(int order, int index) {
        return ((long) index << order) >> 3;
    }
}

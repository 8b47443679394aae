// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import dev.vublk.vhostuser.memory.HostMemory;

/**
 * What a block holds while a disk is verified: which block it is, which generation, and bytes that follow from both, so that
 * every byte can be checked and a wrong block tells where it came from. Any thread.
 *
 * <pre>
 * | magic and seed 8 | block 8 | generation 8 | pseudo-random ... | checksum of all before 8 |
 * </pre>
 */
final class BlockPattern {
    /** Arbitrary; spells nothing. */
    private static final long MAGIC = 0x7b1c_d3a9_5e42_f086L;

    private static final int BLOCK = 8;
    private static final int GENERATION = 16;
    private static final int BODY = 24;

    private final int blockBytes;
    private final long magic;

    BlockPattern(int blockBytes, long seed) {
        this.blockBytes = blockBytes;
        magic = MAGIC ^ RandomSequence.mix(seed);
    }

    /** Writes a block. */
    void fill(long address, long block, long generation) {
        HostMemory.putLong(address, magic);
        HostMemory.putLong(address + BLOCK, block);
        HostMemory.putLong(address + GENERATION, generation);
        long body = bodySeed(block, generation);
        for (int i = BODY; i < checksumOffset(); i += Long.BYTES) {
            HostMemory.putLong(address + i, RandomSequence.mix(body + i));
        }
        HostMemory.putLong(address + checksumOffset(), checksum(address));
    }

    /** Whether every byte is as {@link #fill} writes it. */
    boolean matches(long address, long block, long generation) {
        return wrongByte(address, block, generation) < 0;
    }

    /** The offset of the first wrong byte, or -1. */
    int wrongByte(long address, long block, long generation) {
        long body = bodySeed(block, generation);
        long checksum = 0;
        for (int i = 0; i < blockBytes; i += Long.BYTES) {
            long expected = switch (i) {
                case 0 -> magic;
                case BLOCK -> block;
                case GENERATION -> generation;
                default -> i == checksumOffset() ? checksum : RandomSequence.mix(body + i);
            };
            long found = HostMemory.getLong(address + i);
            if (found != expected) {
                return i + Long.numberOfTrailingZeros(found ^ expected) / Byte.SIZE;
            }
            checksum = extend(checksum, found);
        }
        return -1;
    }

    private long bodySeed(long block, long generation) {
        return RandomSequence.mix(magic ^ block) ^ RandomSequence.mix(generation + MAGIC);
    }

    private int checksumOffset() {
        return blockBytes - Long.BYTES;
    }

    private long checksum(long address) {
        long checksum = 0;
        for (int i = 0; i < checksumOffset(); i += Long.BYTES) {
            checksum = extend(checksum, HostMemory.getLong(address + i));
        }
        return checksum;
    }

    private static long extend(long checksum, long value) {
        return Long.rotateLeft(checksum, 5) * 31 + value;
    }

    /** For people: what a wrong block holds. */
    String describe(long address) {
        if (HostMemory.getLong(address) != magic) {
            return isZero(address) ? "it holds zeroes" : "it holds nothing that was written here";
        }
        String content = "block " + HostMemory.getLong(address + BLOCK) + " of generation "
                + HostMemory.getLong(address + GENERATION);
        boolean whole = HostMemory.getLong(address + checksumOffset()) == checksum(address);
        return whole
                ? "it holds " + content + ", undamaged"
                : "it begins as " + content + ", and its checksum is wrong";
    }

    private boolean isZero(long address) {
        for (int i = 0; i < blockBytes; i += Long.BYTES) {
            if (HostMemory.getLong(address + i) != 0) {
                return false;
            }
        }
        return true;
    }
}

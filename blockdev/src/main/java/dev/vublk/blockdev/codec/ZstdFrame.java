// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.codec;

import com.github.luben.zstd.Zstd;
import dev.vublk.blockdev.linux.NativeMemory;

/**
 * The outside of a zstd frame (RFC 8878, 3.1): where it ends, and how to make one without compressing. Any thread.
 *
 * <pre>
 *  | magic 4 | descriptor 1 | window 0-1 | dictionary 0-4 | content size 0-8 | block ... | checksum 0-4 |
 *
 *  descriptor:  7 6   content size flag     block:  | header 3, little endian | content |
 *               5     single segment        header: bit 0 last, bits 1-2 type, bits 3-23 size
 *               2     checksum
 *               1 0   dictionary id flag
 * </pre>
 */
public final class ZstdFrame {
    private static final int MAGIC = 0xFD2FB528;
    private static final int SKIPPABLE_MAGIC = 0x184D2A50; // the last four bits are free
    private static final int SINGLE_SEGMENT = 1 << 5;
    private static final int CHECKSUM = 1 << 2;
    private static final int CONTENT_SIZE_4_BYTES = 2 << 6;
    private static final int BLOCK_RAW = 0;
    private static final int BLOCK_RLE = 1;
    private static final int BLOCK_RESERVED = 3;
    private static final int BLOCK_HEADER_BYTES = 3;
    private static final int STORED_HEADER_BYTES = 4 + 1 + 4;

    /** Block_Maximum_Size. */
    private static final int BLOCK_BYTES_MAX = 128 << 10;

    /** The frame is not whole within what is there. */
    public static final long INCOMPLETE = -1;

    /** These bytes are no frame. */
    public static final long NO_FRAME = -2;

    private ZstdFrame() {}

    /** The most that a block takes, compressed or stored. */
    static int encodedBytesMax(int blockBytes) {
        return Math.toIntExact(Math.max(Zstd.compressBound(blockBytes), storedBytes(blockBytes)));
    }

    private static long storedBytes(int blockBytes) {
        long blocks = Math.max(1, ((long) blockBytes + BLOCK_BYTES_MAX - 1) / BLOCK_BYTES_MAX);
        return STORED_HEADER_BYTES + blocks * BLOCK_HEADER_BYTES + blockBytes;
    }

    /** Writes a frame of raw blocks; the bytes written. */
    static int store(long source, int sourceBytes, long target) {
        NativeMemory.putInt(target, MAGIC);
        NativeMemory.putByte(target + 4, (byte) (SINGLE_SEGMENT | CONTENT_SIZE_4_BYTES));
        NativeMemory.putInt(target + 5, sourceBytes);
        long at = target + STORED_HEADER_BYTES;
        int done = 0;
        do {
            int block = Math.min(sourceBytes - done, BLOCK_BYTES_MAX);
            int last = done + block == sourceBytes ? 1 : 0;
            NativeMemory.putInt(at, block << 3 | BLOCK_RAW << 1 | last); // The fourth byte is the content's.
            NativeMemory.copy(source + done, at + BLOCK_HEADER_BYTES, block);
            at += BLOCK_HEADER_BYTES + block;
            done += block;
        } while (done < sourceBytes);
        return (int) (at - target);
    }

    /**
     * How long the frame that begins at an address is, skippable frames included.
     *
     * @param availableBytes what may be read
     * @return its bytes, {@link #INCOMPLETE} or {@link #NO_FRAME}; nothing is said about the content of blocks
     */
    public static long encodedBytes(long address, long availableBytes) {
        if (availableBytes < 5) {
            return INCOMPLETE;
        }
        int magic = NativeMemory.getInt(address);
        if ((magic & ~0xf) == SKIPPABLE_MAGIC) {
            return availableBytes < 8
                    ? INCOMPLETE
                    : whole(8 + (NativeMemory.getInt(address + 4) & 0xffffffffL), availableBytes);
        }
        if (magic != MAGIC) {
            return NO_FRAME;
        }
        int descriptor = NativeMemory.getByte(address + 4);
        long at = 5L + headerFieldBytes(descriptor);
        int last = 0;
        while (last == 0) {
            if (availableBytes - at < BLOCK_HEADER_BYTES) {
                return INCOMPLETE;
            }
            int header = (NativeMemory.getShort(address + at) & 0xffff)
                    | (NativeMemory.getByte(address + at + 2) & 0xff) << 16;
            last = header & 1;
            int type = (header >>> 1) & 3;
            if (type == BLOCK_RESERVED) {
                return NO_FRAME;
            }
            at += BLOCK_HEADER_BYTES + (type == BLOCK_RLE ? 1 : header >>> 3);
        }
        return whole(at + ((descriptor & CHECKSUM) != 0 ? 4 : 0), availableBytes);
    }

    /** How much the whole frame that begins at an address says to hold; {@link StreamBlock#UNKNOWN} when it does not. */
    static long contentBytes(long address) {
        if (NativeMemory.getInt(address) != MAGIC) {
            return StreamBlock.UNKNOWN;
        }
        int descriptor = NativeMemory.getByte(address + 4);
        int fieldBytes = contentSizeBytes(descriptor);
        long field = address + 5 + headerFieldBytes(descriptor) - fieldBytes;
        return switch (fieldBytes) {
            case 0 -> StreamBlock.UNKNOWN;
            case 1 -> NativeMemory.getByte(field) & 0xff;
            case 2 -> 256 + (NativeMemory.getShort(field) & 0xffff);
            case 4 -> NativeMemory.getInt(field) & 0xffffffffL;
            default -> Math.max(StreamBlock.UNKNOWN, NativeMemory.getLong(field));
        };
    }

    private static long whole(long frameBytes, long availableBytes) {
        return frameBytes <= availableBytes ? frameBytes : INCOMPLETE;
    }

    private static int headerFieldBytes(int descriptor) {
        boolean single = (descriptor & SINGLE_SEGMENT) != 0;
        int dictionary = (1 << (descriptor & 3)) >>> 1; // 0, 1, 2, 4
        return (single ? 0 : 1) + dictionary + contentSizeBytes(descriptor);
    }

    private static int contentSizeBytes(int descriptor) {
        int flag = (descriptor >>> 6) & 3;
        return flag == 0 ? ((descriptor & SINGLE_SEGMENT) != 0 ? 1 : 0) : 1 << flag; // 0 or 1, 2, 4, 8
    }
}

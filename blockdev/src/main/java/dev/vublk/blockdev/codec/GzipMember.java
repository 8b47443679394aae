// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.codec;

import dev.vublk.blockdev.linux.NativeMemory;
import java.nio.ByteBuffer;
import java.util.zip.CRC32;

/**
 * The outside of a gzip member (RFC 1952, 2.3). Any thread.
 *
 * <pre>
 *  0        2   3   4       8   9   10     12                      24
 *  | 1f 8b | 08 | 04 | mtime | 00 | ff | 12 | "VB" | 8 | size of member, 8 bytes | deflate ... | crc32 4 | size 4 |
 *   magic  method flags      extra  OS  length of the extra field
 * </pre>
 *
 * The extra field, which others skip, tells how long the member is, so that members can be unpacked in parallel.
 */
final class GzipMember {
    static final int HEADER_BYTES = 10 + 2 + 4 + 8;
    static final int TRAILER_BYTES = 8;
    private static final int MAGIC = 0x00088b1f; // method 8 (deflate) included, flags 0
    private static final int EXTRA_FLAG = 4;
    private static final int NAME_FLAG = 8;
    private static final int COMMENT_FLAG = 16;
    private static final int HEADER_CRC_FLAG = 2;
    private static final int RESERVED_FLAGS = 0xe0;
    private static final int FIXED_BYTES = 10;
    private static final int OS_UNKNOWN = 255;
    private static final int SUBFIELD_ID = 'V' | 'B' << 8;
    private static final int SUBFIELD_BYTES = 8;
    private static final int DAMAGED = -1;

    private GzipMember() {}

    /** The most that a block takes, compressed or stored. */
    static int encodedBytesMax(int blockBytes) {
        return Math.addExact(HEADER_BYTES + TRAILER_BYTES, DeflateStored.bytes(blockBytes));
    }

    /** Writes header and trailer around deflated bytes that are in place behind the header; the member's bytes. */
    static int finish(long target, int deflatedBytes, int crc, int contentBytes) {
        int memberBytes = HEADER_BYTES + deflatedBytes + TRAILER_BYTES;
        NativeMemory.putInt(target, MAGIC | EXTRA_FLAG << 24);
        NativeMemory.putInt(target + 4, 0);
        NativeMemory.putShort(target + 8, (short) (OS_UNKNOWN << 8));
        NativeMemory.putShort(target + 10, (short) (4 + SUBFIELD_BYTES));
        NativeMemory.putShort(target + 12, (short) SUBFIELD_ID);
        NativeMemory.putShort(target + 14, (short) SUBFIELD_BYTES);
        NativeMemory.putLong(target + 16, memberBytes);
        NativeMemory.putInt(target + HEADER_BYTES + deflatedBytes, crc);
        NativeMemory.putInt(target + HEADER_BYTES + deflatedBytes + 4, contentBytes);
        return memberBytes;
    }

    /** The checksum of the first bytes of a buffer. */
    static int crc(CRC32 crc, CodecBuffer content, int contentBytes) {
        ByteBuffer bytes = content.bytes().limit(contentBytes).position(0);
        crc.reset();
        crc.update(bytes);
        return (int) crc.getValue();
    }

    /** Length of the header that begins at an address; negative when there is none, or not all of it. */
    static int headerBytes(long address, int availableBytes) {
        if (availableBytes < FIXED_BYTES || (NativeMemory.getInt(address) & 0xffffff) != MAGIC) {
            return DAMAGED;
        }
        int flags = NativeMemory.getByte(address + 3);
        if ((flags & RESERVED_FLAGS) != 0) {
            return DAMAGED;
        }
        int at = FIXED_BYTES;
        if ((flags & EXTRA_FLAG) != 0) {
            if (availableBytes - at < 2) {
                return DAMAGED;
            }
            at += 2 + (NativeMemory.getShort(address + at) & 0xffff);
        }
        if ((flags & NAME_FLAG) != 0) {
            at = afterText(address, at, availableBytes);
        }
        if ((flags & COMMENT_FLAG) != 0) {
            at = afterText(address, at, availableBytes);
        }
        if ((flags & HEADER_CRC_FLAG) != 0) {
            at += 2;
        }
        return at <= availableBytes ? at : DAMAGED;
    }

    private static int afterText(long address, int at, int availableBytes) {
        int end = at;
        while (end < availableBytes && NativeMemory.getByte(address + end) != 0) {
            end++;
        }
        return end + 1;
    }

    /** Length of the member that begins at an address, if it tells; 0 otherwise. It is a claim that is not checked. */
    static long claimedBytes(long address, int availableBytes) {
        boolean ours = availableBytes >= HEADER_BYTES
                && NativeMemory.getInt(address) == (MAGIC | EXTRA_FLAG << 24)
                && NativeMemory.getShort(address + 10) == 4 + SUBFIELD_BYTES
                && NativeMemory.getShort(address + 12) == (short) SUBFIELD_ID
                && NativeMemory.getShort(address + 14) == SUBFIELD_BYTES;
        return ours ? Math.max(0, NativeMemory.getLong(address + 16)) : 0;
    }
}

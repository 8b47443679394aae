// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.codec;

import dev.vublk.blockdev.linux.NativeMemory;

/**
 * Deflate without compression (RFC 1951, 3.2.4). Any thread.
 *
 * <pre>
 *  | last 1 bit, type 00, padding | length 2 | ~length 2 | content |
 * </pre>
 */
final class DeflateStored {
    static final int BLOCK_BYTES_MAX = 0xffff;
    static final int HEADER_BYTES = 5;

    private DeflateStored() {}

    /** How many bytes {@link #write} makes of a content. */
    static int bytes(int contentBytes) {
        long blocks = Math.max(1, ((long) contentBytes + BLOCK_BYTES_MAX - 1) / BLOCK_BYTES_MAX);
        return Math.toIntExact(contentBytes + blocks * HEADER_BYTES);
    }

    /** Writes a whole deflate stream; its bytes. */
    static int write(long source, int sourceBytes, long target) {
        long at = target;
        int done = 0;
        do {
            int block = Math.min(sourceBytes - done, BLOCK_BYTES_MAX);
            NativeMemory.putByte(at, (byte) (done + block == sourceBytes ? 1 : 0));
            NativeMemory.putInt(at + 1, block | ~block << 16);
            NativeMemory.copy(source + done, at + HEADER_BYTES, block);
            at += HEADER_BYTES + block;
            done += block;
        } while (done < sourceBytes);
        return (int) (at - target);
    }
}

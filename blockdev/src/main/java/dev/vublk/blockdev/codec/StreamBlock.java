// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.codec;

import dev.vublk.blockdev.linux.NativeMemory;

/**
 * A block of a compressed stream that tells its size, packed and unpacked: what {@link BlockCodec#GZIP} and {@link BlockCodec#ZSTD}
 * make. Such blocks can be found, and so unpacked in parallel, without unpacking the ones before. What they tell are claims; the
 * decoder finds out. Any thread.
 */
public final class StreamBlock {
    /** Not all of the block is there. */
    public static final long INCOMPLETE = -1;

    /** The block does not tell; or there is none. */
    public static final long UNKNOWN = -2;

    private StreamBlock() {}

    /**
     * How long the block is that begins at an address.
     *
     * @param availableBytes what may be read
     * @return its packed bytes, all of which are there; {@link #INCOMPLETE} or {@link #UNKNOWN}
     */
    public static long encodedBytes(BlockCodec codec, long address, int availableBytes) {
        return codec == BlockCodec.GZIP ? memberBytes(address, availableBytes) : frameBytes(address, availableBytes);
    }

    private static long memberBytes(long address, int availableBytes) {
        if (availableBytes < GzipMember.HEADER_BYTES) {
            return INCOMPLETE;
        }
        long claimed = GzipMember.claimedBytes(address, availableBytes);
        if (claimed < GzipMember.HEADER_BYTES + GzipMember.TRAILER_BYTES) {
            return UNKNOWN;
        }
        return claimed <= availableBytes ? claimed : INCOMPLETE;
    }

    private static long frameBytes(long address, int availableBytes) {
        long found = ZstdFrame.encodedBytes(address, availableBytes);
        if (found == ZstdFrame.INCOMPLETE) {
            return INCOMPLETE;
        }
        return found == ZstdFrame.NO_FRAME ? UNKNOWN : found;
    }

    /**
     * How much the block holds that begins at an address.
     *
     * @param encodedBytes as {@link #encodedBytes} has told
     * @return its unpacked bytes, or {@link #UNKNOWN}
     */
    public static long contentBytes(BlockCodec codec, long address, int encodedBytes) {
        if (codec == BlockCodec.GZIP) {
            return NativeMemory.getInt(address + encodedBytes - Integer.BYTES) & 0xffffffffL;
        }
        return ZstdFrame.contentBytes(address);
    }
}

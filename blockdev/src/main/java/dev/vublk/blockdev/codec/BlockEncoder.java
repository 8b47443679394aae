// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.codec;

/**
 * Compresses blocks, each by itself. An encoder holds tables, and perhaps native memory, which it uses again for every
 * block; it belongs to one thread at a time.
 */
public interface BlockEncoder extends AutoCloseable {
    /** Result: the block has no smaller form and is to be written as it is. */
    int NOT_SMALLER = -1;

    /**
     * Compresses the first {@code sourceBytes} of {@code source}.
     *
     * @param target with room for {@link BlockCodec#encodedBytesMax} of them
     * @return how many bytes are in {@code target}, or {@link #NOT_SMALLER}, which formats that must write every block in
     *     their own form never return
     */
    int encode(CodecBuffer source, int sourceBytes, CodecBuffer target);

    /**
     * As {@link #encode}, but in no more time than a copy takes: the format's uncompressed form, or {@link #NOT_SMALLER}
     * where that is the block as it is.
     */
    int store(CodecBuffer source, int sourceBytes, CodecBuffer target);

    @Override
    void close();
}

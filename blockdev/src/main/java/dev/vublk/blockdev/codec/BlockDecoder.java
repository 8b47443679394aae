// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.codec;

/**
 * Decompresses blocks, each by itself, and trusts none of them: whatever the input says, no more than the room given is
 * written, and the time is bounded by input and room. Belongs to one thread at a time.
 */
public interface BlockDecoder extends AutoCloseable {
    /** Result: the input is damaged, ends too early, or holds more than there is room for. */
    int CORRUPT = -1;

    /**
     * Decompresses into the first {@code targetBytes} of {@code target}.
     *
     * @param sourceOffset where the compressed bytes begin in {@code source}
     * @param sourceBytes how many there are; for qcow2 clusters, padding behind them may be included
     * @return how many bytes are in {@code target}, or {@link #CORRUPT}
     */
    int decode(CodecBuffer source, int sourceOffset, int sourceBytes, CodecBuffer target, int targetBytes);

    @Override
    void close();
}

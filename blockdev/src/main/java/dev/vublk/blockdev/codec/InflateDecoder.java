// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.codec;

import java.nio.ByteBuffer;
import java.util.zip.DataFormatException;
import java.util.zip.Inflater;

/** Unpacks qcow2 clusters of raw deflate. Belongs to one thread at a time. */
final class InflateDecoder implements BlockDecoder {
    private final Inflater inflater = new Inflater(true);

    @Override
    public int decode(CodecBuffer source, int sourceOffset, int sourceBytes, CodecBuffer target, int targetBytes) {
        source.checkRange(sourceOffset, sourceBytes);
        target.checkRange(0, targetBytes);
        ByteBuffer input = source.bytes().limit(sourceOffset + sourceBytes).position(sourceOffset);
        ByteBuffer output = target.bytes().limit(targetBytes).position(0);
        inflater.reset();
        inflater.setInput(input);
        try {
            while (inflater.inflate(output) > 0) {
                // Until it ends, or lacks input or room.
            }
        } catch (DataFormatException e) {
            return CORRUPT;
        }
        return inflater.finished() || output.position() == targetBytes ? output.position() : CORRUPT;
    }

    @Override
    public void close() {
        inflater.end();
    }
}

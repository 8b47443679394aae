// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.codec;

import dev.vublk.blockdev.linux.NativeMemory;
import java.nio.ByteBuffer;
import java.util.zip.CRC32;
import java.util.zip.DataFormatException;
import java.util.zip.Inflater;

/** Unpacks blocks that are one or more whole gzip members. Belongs to one thread at a time. */
final class GzipMemberDecoder implements BlockDecoder {
    private final Inflater inflater = new Inflater(true);
    private final CRC32 crc = new CRC32();

    @Override
    public int decode(CodecBuffer source, int sourceOffset, int sourceBytes, CodecBuffer target, int targetBytes) {
        source.checkRange(sourceOffset, sourceBytes);
        target.checkRange(0, targetBytes);
        int at = sourceOffset;
        int end = sourceOffset + sourceBytes;
        ByteBuffer output = target.bytes().limit(targetBytes).position(0);
        do {
            at = member(source, at, end, output);
        } while (at >= 0 && at < end);
        return at < 0 ? CORRUPT : output.position();
    }

    /** Where the next member begins, or {@link #CORRUPT}. */
    private int member(CodecBuffer source, int offset, int end, ByteBuffer output) {
        int header = GzipMember.headerBytes(source.address() + offset, end - offset);
        if (header < 0) {
            return CORRUPT;
        }
        int from = output.position();
        ByteBuffer input = source.bytes().limit(end).position(offset + header);
        inflater.reset();
        inflater.setInput(input);
        try {
            while (inflater.inflate(output) > 0) {
                // Until it ends, or lacks input or room.
            }
        } catch (DataFormatException e) {
            return CORRUPT;
        }
        int trailer = input.position();
        if (!inflater.finished() || end - trailer < GzipMember.TRAILER_BYTES) {
            return CORRUPT;
        }
        int made = output.position() - from;
        crc.reset();
        crc.update(output.duplicate().flip().position(from));
        boolean right = NativeMemory.getInt(source.address() + trailer) == (int) crc.getValue()
                && NativeMemory.getInt(source.address() + trailer + 4) == made;
        return right ? trailer + GzipMember.TRAILER_BYTES : CORRUPT;
    }

    @Override
    public void close() {
        inflater.end();
    }
}

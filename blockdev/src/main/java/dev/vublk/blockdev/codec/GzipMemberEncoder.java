// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.codec;

import java.util.zip.CRC32;

/** Makes one gzip member of each block. Belongs to one thread at a time. */
final class GzipMemberEncoder implements BlockEncoder {
    /** The most that deflate has. */
    private static final int WINDOW_BYTES = 32768;

    private final DeflateEncoder deflate;
    private final CRC32 crc = new CRC32();

    GzipMemberEncoder(int level) {
        deflate = new DeflateEncoder(WINDOW_BYTES, level);
    }

    @Override
    public int encode(CodecBuffer source, int sourceBytes, CodecBuffer target) {
        source.checkRange(0, sourceBytes);
        target.checkRange(0, GzipMember.encodedBytesMax(sourceBytes));
        int deflated = deflate.encode(
                source.address(),
                sourceBytes,
                target.address() + GzipMember.HEADER_BYTES,
                DeflateStored.bytes(sourceBytes) - 1);
        return deflated == NOT_SMALLER
                ? store(source, sourceBytes, target)
                : finish(source, sourceBytes, target, deflated);
    }

    @Override
    public int store(CodecBuffer source, int sourceBytes, CodecBuffer target) {
        source.checkRange(0, sourceBytes);
        target.checkRange(0, GzipMember.encodedBytesMax(sourceBytes));
        int deflated = DeflateStored.write(source.address(), sourceBytes, target.address() + GzipMember.HEADER_BYTES);
        return finish(source, sourceBytes, target, deflated);
    }

    private int finish(CodecBuffer source, int sourceBytes, CodecBuffer target, int deflatedBytes) {
        return GzipMember.finish(
                target.address(), deflatedBytes, GzipMember.crc(crc, source, sourceBytes), sourceBytes);
    }

    @Override
    public void close() {
        // Its tables are garbage like any other.
    }
}

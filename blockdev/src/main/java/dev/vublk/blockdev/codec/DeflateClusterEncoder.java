// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.codec;

/** Makes qcow2 clusters of type zlib. Belongs to one thread at a time. */
final class DeflateClusterEncoder implements BlockEncoder {
    /** QEMU unpacks clusters with {@code inflateInit2(-12)}: distances of more than 4096 bytes are an error there. */
    private static final int WINDOW_BYTES = 4096;

    private final DeflateEncoder deflate;

    DeflateClusterEncoder(int level) {
        deflate = new DeflateEncoder(WINDOW_BYTES, level);
    }

    @Override
    public int encode(CodecBuffer source, int sourceBytes, CodecBuffer target) {
        source.checkRange(0, sourceBytes);
        int limit = sourceBytes - 1;
        target.checkRange(0, Math.max(0, limit));
        return deflate.encode(source.address(), sourceBytes, target.address(), limit);
    }

    @Override
    public int store(CodecBuffer source, int sourceBytes, CodecBuffer target) {
        return NOT_SMALLER;
    }

    @Override
    public void close() {
        // Its tables are garbage like any other.
    }
}

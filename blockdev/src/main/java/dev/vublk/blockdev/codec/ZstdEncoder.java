// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.codec;

import com.github.luben.zstd.ZstdCompressCtx;

/** Makes one zstd frame of each block, with a context of libzstd that it keeps. Belongs to one thread at a time. */
final class ZstdEncoder implements BlockEncoder {
    private final ZstdCompressCtx context = new ZstdCompressCtx();
    private final boolean onlySmaller;

    /**
     * @param onlySmaller for clusters: a frame that is not smaller than its block is none. In streams every block is a frame,
     *     and has a checksum
     */
    ZstdEncoder(int level, boolean onlySmaller) {
        this.onlySmaller = onlySmaller;
        context.setLevel(level).setChecksum(!onlySmaller);
    }

    @Override
    public int encode(CodecBuffer source, int sourceBytes, CodecBuffer target) {
        source.checkRange(0, sourceBytes);
        int room = ZstdFrame.encodedBytesMax(sourceBytes);
        target.checkRange(0, room);
        int encoded = context.compressDirectByteBuffer(target.bytes(), 0, room, source.bytes(), 0, sourceBytes);
        return onlySmaller && encoded >= sourceBytes ? NOT_SMALLER : encoded;
    }

    @Override
    public int store(CodecBuffer source, int sourceBytes, CodecBuffer target) {
        if (onlySmaller) {
            return NOT_SMALLER;
        }
        source.checkRange(0, sourceBytes);
        target.checkRange(0, ZstdFrame.encodedBytesMax(sourceBytes));
        return ZstdFrame.store(source.address(), sourceBytes, target.address());
    }

    @Override
    public void close() {
        context.close();
    }
}

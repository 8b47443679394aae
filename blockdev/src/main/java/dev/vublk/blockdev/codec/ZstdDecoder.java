// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.codec;

import com.github.luben.zstd.ZstdDecompressCtx;
import com.github.luben.zstd.ZstdException;

/**
 * Unpacks blocks that are zstd frames, with a context of libzstd that it keeps. Belongs to one thread at a time.
 *
 * <p>libzstd unpacks into the block's own memory and so needs none for the window that a frame asks for.
 */
final class ZstdDecoder implements BlockDecoder {
    private final ZstdDecompressCtx context = new ZstdDecompressCtx();
    private final boolean padded;

    /** @param padded for clusters: what follows once the room is full is padding. In streams nothing may follow */
    ZstdDecoder(boolean padded) {
        this.padded = padded;
    }

    @Override
    public int decode(CodecBuffer source, int sourceOffset, int sourceBytes, CodecBuffer target, int targetBytes) {
        source.checkRange(sourceOffset, sourceBytes);
        target.checkRange(0, targetBytes);
        int taken = 0;
        int made = 0;
        do {
            long frame = ZstdFrame.encodedBytes(source.address() + sourceOffset + taken, sourceBytes - taken);
            if (frame < 0) {
                return CORRUPT;
            }
            int more = decodeFrame(source, sourceOffset + taken, (int) frame, target, made, targetBytes - made);
            if (more < 0) {
                return CORRUPT;
            }
            taken += (int) frame;
            made += more;
        } while (taken < sourceBytes && (!padded || made < targetBytes));
        return made;
    }

    private int decodeFrame(
            CodecBuffer source, int offsetBytes, int lengthBytes, CodecBuffer target, int targetOffset, int roomBytes) {
        try {
            return context.decompressDirectByteBuffer(
                    target.bytes(), targetOffset, roomBytes, source.bytes(), offsetBytes, lengthBytes);
        } catch (ZstdException e) {
            return CORRUPT; // The input's fault: a buffer too small is content too long.
        }
    }

    @Override
    public void close() {
        context.close();
    }
}

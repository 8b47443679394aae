// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import dev.vublk.blockdev.qcow2.Qcow2Writer;
import dev.vublk.emulator.worker.compress.CodecBlock;
import java.io.IOException;

/** A new qcow2 image whose clusters are compressed, but for those that are not smaller then. */
final class CompressedQcow2Target implements BlockSink {
    private final Qcow2Writer writer;
    private final Qcow2Target plain;

    /**
     * @param writer is closed with {@code plain}
     * @param plain the same image, for what is not compressed; is closed with this target
     */
    CompressedQcow2Target(Qcow2Writer writer, Qcow2Target plain) {
        this.writer = writer;
        this.plain = plain;
    }

    @Override
    public int unitBytes() {
        return writer.clusterBytes();
    }

    /** A compressed cluster is a whole one. */
    @Override
    public int inputBytes(int dataBytes) {
        return writer.clusterBytes();
    }

    @Override
    public boolean isOrdered() {
        return false;
    }

    @Override
    public void write(Chunk chunk) throws IOException {
        plain.write(chunk);
    }

    @Override
    public void write(CodecBlock block) throws IOException {
        long cluster = block.tag() / writer.clusterBytes();
        if (block.outcome() == CodecBlock.Outcome.ZERO) {
            plain.writeZeroes(cluster, 1);
        } else if (block.isRaw()) {
            writer.file().write(block.resultAddress(), writer.place(cluster, 1), block.resultBytes());
        } else {
            writer.placeCompressed(cluster, block.resultAddress(), block.resultBytes());
        }
    }

    @Override
    public void finish(long sizeBytes) throws IOException {
        plain.finish(sizeBytes);
    }

    @Override
    public void close() {
        plain.close();
    }
}

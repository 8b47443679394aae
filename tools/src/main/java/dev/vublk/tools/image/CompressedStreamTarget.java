// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.emulator.worker.compress.CodecBlock;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.WritableByteChannel;

/** A raw disk as a compressed stream: one frame or member behind the other, zeroes included. */
final class CompressedStreamTarget implements BlockSink {
    private static final int UNIT_BYTES = 512;

    private final WritableByteChannel out;
    private final String name;
    private final boolean owned;

    /** @param owned whether {@code out} is closed with this target */
    CompressedStreamTarget(WritableByteChannel out, String name, boolean owned) {
        this.out = out;
        this.name = name;
        this.owned = owned;
    }

    @Override
    public int unitBytes() {
        return UNIT_BYTES;
    }

    @Override
    public int inputBytes(int dataBytes) {
        return dataBytes;
    }

    @Override
    public boolean isOrdered() {
        return true;
    }

    @Override
    public void write(Chunk chunk) {
        throw new IllegalStateException("a stream takes every block in its order");
    }

    @Override
    public void write(CodecBlock block) throws IOException {
        ByteBuffer bytes = NativeMemory.asByteBuffer(block.resultAddress(), block.resultBytes());
        try {
            while (bytes.hasRemaining()) {
                out.write(bytes);
            }
        } catch (IOException e) {
            throw new IOException(name + ": cannot be written: " + e.getMessage(), e);
        }
    }

    @Override
    public void giveUp() {
        try {
            out.close(); // ends a write that waits for whoever reads
        } catch (IOException e) {
            // Nothing is lost that was not given up.
        }
    }

    @Override
    public void finish(long sizeBytes) {}

    @Override
    public void close() {
        if (owned) {
            giveUp();
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.WritableByteChannel;

/** A raw disk as a stream of bytes, zeroes included: threads that are ahead wait for their turn. */
final class StreamTarget implements ImageTarget {
    private static final int UNIT_BYTES = 4096;

    private final WritableByteChannel out;
    private final String name;
    private final ByteBuffer zeroes = ByteBuffer.allocateDirect(64 << 10);

    /** How much has been written; guarded by this. */
    private long positionBytes;

    /** Somebody failed: nobody's turn comes any more. */
    private volatile boolean failed;

    StreamTarget(WritableByteChannel out, String name) {
        this.out = out;
        this.name = name;
    }

    @Override
    public int unitBytes() {
        return UNIT_BYTES;
    }

    @Override
    public synchronized void write(Chunk chunk) throws IOException {
        awaitTurn(chunk.offsetBytes());
        try {
            for (int i = 0; i < chunk.runCount(); i++) {
                long length = chunk.runEnd(i) - chunk.runStart(i);
                if (chunk.kind(i) == Chunk.Kind.DATA) {
                    writeAll(chunk.bytes(chunk.runStart(i), (int) length));
                } else {
                    writeZeroes(length);
                }
            }
            positionBytes = chunk.endBytes();
        } catch (IOException e) {
            failed = true;
            throw new IOException(name + ": cannot be written: " + e.getMessage(), e);
        } finally {
            notifyAll();
        }
    }

    private void awaitTurn(long offsetBytes) throws IOException {
        while (positionBytes != offsetBytes && !failed) {
            try {
                wait();
            } catch (InterruptedException e) {
                throw new IOException("interrupted", e);
            }
        }
        if (failed) {
            throw new IOException(name + ": cannot be written");
        }
    }

    private void writeZeroes(long length) throws IOException {
        for (long done = 0; done < length; done += zeroes.capacity()) {
            zeroes.clear().limit((int) Math.min(zeroes.capacity(), length - done));
            writeAll(zeroes);
        }
    }

    private void writeAll(ByteBuffer bytes) throws IOException {
        while (bytes.hasRemaining()) {
            out.write(bytes);
        }
    }

    @Override
    public void giveUp() {
        failed = true;
        try {
            out.close(); // ends a write that waits for whoever reads
        } catch (IOException e) {
            // Nothing is lost that was not given up.
        }
        synchronized (this) {
            notifyAll();
        }
    }

    @Override
    public void finish(long sizeBytes) {}

    @Override
    public void close() {}
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import dev.vublk.blockdev.codec.CodecBuffer;
import dev.vublk.blockdev.linux.NativeMemory;
import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;

/**
 * The bytes of a file or pipe from its beginning to its end, of which the next ones can be looked at before they are taken. One
 * thread at a time; {@link #giveUp} by any.
 */
final class StreamInput implements AutoCloseable {
    private final FileInputStream file;
    private final FileChannel channel;
    private final String name;
    private final CodecBuffer window;
    private int start;
    private int end;

    /** @param windowBytes how much can be looked at */
    private StreamInput(FileInputStream file, String name, int windowBytes) {
        this.file = file;
        this.name = name;
        channel = file.getChannel();
        window = new CodecBuffer(windowBytes);
    }

    /** Opens a file, or standard input for {@code -}. */
    static StreamInput open(String path, int windowBytes) throws IOException {
        boolean standard = path.equals("-");
        return new StreamInput(
                standard ? new FileInputStream(FileDescriptor.in) : new FileInputStream(path),
                standard ? "standard input" : path,
                windowBytes);
    }

    /** What messages call it. */
    String name() {
        return name;
    }

    /** Where the next bytes are, until the next call of another method. */
    long address() {
        return window.address() + start;
    }

    /**
     * Waits until so many bytes can be looked at, at most as many as the window has.
     *
     * @return how many there are; fewer only at the end
     */
    int await(int leastBytes) throws IOException {
        if (leastBytes > window.capacityBytes() - start) {
            NativeMemory.copy(address(), window.address(), end - start);
            end -= start;
            start = 0;
        }
        while (end - start < leastBytes) {
            int room = window.capacityBytes() - end;
            try {
                int count = channel.read(NativeMemory.asByteBuffer(window.address() + end, room));
                if (count < 0) {
                    break;
                }
                end += count;
            } catch (IOException e) {
                throw new IOException(name + ": cannot be read: " + e.getMessage(), e);
            }
        }
        return end - start;
    }

    /** Takes bytes that have been looked at. */
    void skip(int bytes) {
        start += bytes;
        if (start == end) {
            start = 0;
            end = 0;
        }
    }

    /** Takes as many bytes as there are and fit; negative at the end. */
    int read(ByteBuffer target) throws IOException {
        if (start == end && target.remaining() >= window.capacityBytes()) {
            return channel.read(target);
        }
        int count = Math.min(target.remaining(), await(1));
        if (count == 0) {
            return target.hasRemaining() ? -1 : 0;
        }
        target.put(NativeMemory.asByteBuffer(address(), count));
        skip(count);
        return count;
    }

    /** The same bytes for libraries. */
    InputStream stream() {
        return new InputStream() {
            @Override
            public int read() throws IOException {
                byte[] one = new byte[1];
                return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
            }

            @Override
            public int read(byte[] bytes, int offset, int length) throws IOException {
                return length == 0 ? 0 : StreamInput.this.read(ByteBuffer.wrap(bytes, offset, length));
            }

            // Zero at the end only: by that the library tells whether another gzip member follows.
            @Override
            public int available() throws IOException {
                return await(1);
            }
        };
    }

    /** Ends a read that waits for whoever writes. */
    void giveUp() {
        try {
            file.close();
        } catch (IOException e) {
            // Nothing is lost that was not given up.
        }
    }

    @Override
    public void close() {
        giveUp();
        window.close();
    }
}

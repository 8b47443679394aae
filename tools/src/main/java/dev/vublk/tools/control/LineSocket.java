// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.control;

import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import org.jspecify.annotations.Nullable;

/** A connection over which lines of text go, and bytes between them. Used by one thread. */
public final class LineSocket implements AutoCloseable {
    private final SocketChannel channel;
    private final int lineBytesMax;

    /** What has been received and not been taken: from position to limit. */
    private final ByteBuffer received;

    /** @param lineBytesMax longer lines end the connection */
    public LineSocket(SocketChannel channel, int lineBytesMax) {
        this.channel = channel;
        this.lineBytesMax = lineBytesMax;
        received = ByteBuffer.allocateDirect(lineBytesMax).limit(0);
    }

    /** The next line without its end; null when the other side has closed the connection. */
    public @Nullable String readLine() throws IOException {
        int scanned = 0;
        while (true) {
            while (scanned < received.remaining()) {
                if (received.get(received.position() + scanned) == '\n') {
                    byte[] line = new byte[scanned];
                    received.get(line).get();
                    return new String(line, StandardCharsets.UTF_8);
                }
                scanned++;
            }
            if (scanned == lineBytesMax) {
                throw new IOException("a line is longer than " + lineBytesMax + " bytes");
            }
            received.compact();
            int count = channel.read(received);
            received.flip();
            if (count < 0) {
                return null;
            }
        }
    }

    public void writeLine(String line) throws IOException {
        write(ByteBuffer.wrap((line + "\n").getBytes(StandardCharsets.UTF_8)));
    }

    /** Fills a buffer. */
    public void read(ByteBuffer target) throws IOException {
        int there = Math.min(received.remaining(), target.remaining());
        target.put(received.slice(received.position(), there));
        received.position(received.position() + there);
        while (target.hasRemaining()) {
            if (channel.read(target) < 0) {
                throw new EOFException("the connection has ended");
            }
        }
    }

    public void write(ByteBuffer bytes) throws IOException {
        while (bytes.hasRemaining()) {
            channel.write(bytes);
        }
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }
}

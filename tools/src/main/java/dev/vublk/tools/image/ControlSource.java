// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.vublk.tools.control.LineSocket;
import java.io.IOException;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;

/** A disk that a running vublk exports, as it was when this source was opened; read over the control socket. */
final class ControlSource implements ImageSource {
    private static final int LINE_BYTES_MAX = 4096;
    private static final ObjectMapper JSON = new ObjectMapper();

    private final SocketChannel channel;
    private final LineSocket socket;
    private final String name;
    private final int chunkBytes;
    private final int unitBytes;
    private final long sizeBytes;

    /** Guarded by this. */
    private long position;

    private ControlSource(SocketChannel channel, String path, String disk, int chunkBytes, int unitBytes)
            throws IOException {
        this.channel = channel;
        this.chunkBytes = chunkBytes;
        this.unitBytes = unitBytes;
        name = path + ": " + disk;
        socket = new LineSocket(channel, LINE_BYTES_MAX);
        ObjectNode request = JSON.createObjectNode().put("command", "snapshot").put("disk", disk);
        sizeBytes = ask(request).path("size").asLong();
    }

    /**
     * Takes the snapshot.
     *
     * @param path of the control socket
     * @param disk the image's name, its socket, or its number
     */
    static ControlSource open(String path, String disk, int chunkBytes, int unitBytes) throws IOException {
        SocketChannel channel;
        try {
            channel = SocketChannel.open(UnixDomainSocketAddress.of(Path.of(path)));
        } catch (IOException e) {
            throw new IOException(path + ": cannot connect: " + e.getMessage(), e);
        }
        try {
            return new ControlSource(channel, path, disk, chunkBytes, unitBytes);
        } catch (IOException e) {
            channel.close();
            throw e;
        }
    }

    private JsonNode ask(ObjectNode request) throws IOException {
        String line;
        try {
            socket.writeLine(request.toString());
            line = socket.readLine();
        } catch (IOException e) {
            throw new IOException(name + ": the connection failed: " + e.getMessage(), e);
        }
        if (line == null) {
            throw new IOException(name + ": vublk has ended the connection");
        }
        JsonNode reply = JSON.readTree(line);
        if (reply.has("error")) {
            throw new IOException(name + ": " + reply.path("error").asText());
        }
        return reply;
    }

    @Override
    public long sizeBytes() {
        return sizeBytes;
    }

    @Override
    public int chunkBytes() {
        return chunkBytes;
    }

    @Override
    public Reader openReader() {
        return new Reader() {
            @Override
            public boolean next(Chunk chunk) throws IOException {
                return read(chunk);
            }

            @Override
            public void close() {}
        };
    }

    private synchronized boolean read(Chunk chunk) throws IOException {
        if (position >= sizeBytes) {
            return false;
        }
        chunk.begin(position);
        long length = Math.min(chunkBytes, sizeBytes - position);
        while (chunk.lengthBytes() < length) {
            long at = chunk.lengthBytes();
            JsonNode reply = ask(JSON.createObjectNode()
                    .put("command", "read")
                    .put("offset", position + at)
                    .put("length", length - at));
            long run = reply.path("length").asLong();
            if (run <= 0 || run > length - at) {
                throw new IOException(name + ": sent " + run + " bytes where " + (length - at) + " were wanted");
            }
            boolean zero = reply.path("zero").asBoolean();
            if (!zero) {
                receive(chunk, at, (int) run);
            }
            chunk.add(zero ? Chunk.Kind.ZERO : Chunk.Kind.DATA, run);
        }
        chunk.zeroPartsOfUnits(unitBytes);
        position += length;
        return true;
    }

    private void receive(Chunk chunk, long at, int length) throws IOException {
        try {
            socket.read(chunk.bytes(at, length));
        } catch (IOException e) {
            throw new IOException(name + ": the connection failed: " + e.getMessage(), e);
        }
    }

    @Override
    public void giveUp() {
        try {
            channel.close(); // ends a read that waits for an answer
        } catch (IOException e) {
            // Nothing is lost that was not given up.
        }
    }

    @Override
    public void close() {
        giveUp();
    }
}

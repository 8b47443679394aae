// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.control;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;

/**
 * The other side of a {@link ControlConnection}: asks a running vublk about one of its disks. Used by one thread, but for {@link
 * #close}.
 */
public final class ControlClient implements AutoCloseable {
    private static final int LINE_BYTES_MAX = 4096;
    private static final ObjectMapper JSON = new ObjectMapper();

    private final SocketChannel channel;
    private final LineSocket socket;
    private final String disk;
    private final String name;

    private ControlClient(SocketChannel channel, String path, String disk) {
        this.channel = channel;
        this.disk = disk;
        name = path + ": " + disk;
        socket = new LineSocket(channel, LINE_BYTES_MAX);
    }

    /**
     * Connects.
     *
     * @param path of the control socket
     * @param disk the image's name, its socket, or its number; whether there is one is told by the first answer
     * @throws IOException nobody listens there: one line for the user
     */
    public static ControlClient connect(String path, String disk) throws IOException {
        try {
            return new ControlClient(SocketChannel.open(UnixDomainSocketAddress.of(Path.of(path))), path, disk);
        } catch (IOException e) {
            throw new IOException(path + ": cannot connect: " + e.getMessage(), e);
        }
    }

    /** A command, to which more can be added before it is asked. */
    public static ObjectNode command(String command) {
        return JSON.createObjectNode().put("command", command);
    }

    /** A command about the disk. */
    public ObjectNode diskCommand(String command) {
        return command(command).put("disk", disk);
    }

    /**
     * What is answered.
     *
     * @throws IOException the answer is an error, or there is none: one line for the user
     */
    public JsonNode ask(ObjectNode request) throws IOException {
        String line;
        try {
            socket.writeLine(request.toString());
            line = socket.readLine();
        } catch (IOException e) {
            throw failed(e);
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

    /** Fills a buffer with the data behind an answer. */
    public void read(ByteBuffer target) throws IOException {
        try {
            socket.read(target);
        } catch (IOException e) {
            throw failed(e);
        }
    }

    private IOException failed(IOException e) {
        return new IOException(name + ": the connection failed: " + e.getMessage(), e);
    }

    /** For messages: what is asked about. */
    public String name() {
        return name;
    }

    /** Ends the connection, and a wait for an answer with it. Any thread. */
    @Override
    public void close() {
        try {
            channel.close();
        } catch (IOException e) {
            // Nothing is lost that was not given up.
        }
    }
}

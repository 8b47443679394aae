// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.control;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.vublk.blockdev.BlockStatus;
import dev.vublk.blockdev.BlockingIoContext;
import dev.vublk.blockdev.cbw.DiskSnapshot;
import dev.vublk.blockdev.cbw.SnapshotReader;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.emulator.DiskConfig;
import dev.vublk.emulator.Emulator;
import dev.vublk.emulator.ExportSnapshot;
import java.io.IOException;
import java.nio.channels.SocketChannel;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * One connection to a {@link ControlServer}: a JSON object a line in each direction, and data behind the answer to a read. A
 * snapshot lives as long as its connection. Runs on a thread of its own.
 *
 * <pre>
 *   {"command": "list"}                                   {"disks": [{"image": …, "socket": …, "size": …}]}
 *   {"command": "size", "disk": "disk.img"}               {"size": 1073741824}
 *   {"command": "resize", "disk": "disk.img",             {"size": 2147483648}
 *    "size": 2147483648}
 *   {"command": "snapshot", "disk": "disk.img"}           {"size": 1073741824}
 *   {"command": "read", "offset": 0, "length": 1048576}   {"length": 65536, "zero": true}
 *                                                         {"length": 1048576, "zero": false}, and so many bytes
 *   anything that goes wrong                              {"error": "…"}
 * </pre>
 */
final class ControlConnection implements AutoCloseable {
    /** The most that one read returns. */
    static final int READ_BYTES_MAX = 1 << 20;

    private static final int LINE_BYTES_MAX = 4096;
    private static final ObjectMapper JSON = new ObjectMapper();

    private final LineSocket socket;
    private final Emulator emulator;
    private final List<DiskConfig> disks;
    private final SnapshotLimits limits;
    private final BlockStatus status = new BlockStatus();
    private final long buffer = NativeMemory.allocateZeroed(READ_BYTES_MAX);
    private @Nullable ExportSnapshot snapshot;
    private @Nullable SnapshotReader reader;

    ControlConnection(SocketChannel channel, Emulator emulator, List<DiskConfig> disks, SnapshotLimits limits) {
        socket = new LineSocket(channel, LINE_BYTES_MAX);
        this.emulator = emulator;
        this.disks = disks;
        this.limits = limits;
    }

    /** Answers until the other side has gone. */
    void serve() throws IOException {
        String line = socket.readLine();
        while (line != null) {
            ObjectNode reply = JSON.createObjectNode();
            int data = 0;
            try {
                data = answer(JSON.readTree(line), reply);
            } catch (IOException | IllegalArgumentException e) {
                reply.removeAll();
                reply.put(
                        "error",
                        String.valueOf(e.getMessage()).lines().findFirst().orElse(""));
            }
            socket.writeLine(reply.toString());
            if (data > 0) {
                socket.write(NativeMemory.asByteBuffer(buffer, data));
            }
            line = socket.readLine();
        }
    }

    /** Fills the reply; how many bytes of the buffer follow it. */
    private int answer(JsonNode request, ObjectNode reply) throws IOException {
        String command = request.path("command").asText();
        switch (command) {
            case "list" -> list(reply);
            case "size" ->
                reply.put("size", sizeBytes(indexOf(request.path("disk").asText())));
            case "resize" ->
                resize(request.path("disk").asText(), request.path("size").asLong(-1), reply);
            case "snapshot" -> snapshot(request.path("disk").asText(), reply);
            case "read" -> {
                return read(
                        request.path("offset").asLong(-1),
                        request.path("length").asLong(-1),
                        reply);
            }
            default -> throw new IllegalArgumentException("there is no command '" + command + "'");
        }
        return 0;
    }

    private void list(ObjectNode reply) {
        var list = reply.putArray("disks");
        for (int i = 0; i < disks.size(); i++) {
            list.addObject()
                    .put("image", disks.get(i).block().image())
                    .put("socket", disks.get(i).listener().describe())
                    .put("size", sizeBytes(i));
        }
    }

    private long sizeBytes(int disk) {
        return emulator.diskLimits().get(disk).sizeBytes();
    }

    private void resize(String disk, long newSizeBytes, ObjectNode reply) throws IOException {
        int index = indexOf(disk);
        if (newSizeBytes <= 0) {
            throw new IllegalArgumentException("no size of a disk is said");
        }
        emulator.growDisk(index, newSizeBytes);
        reply.put("size", sizeBytes(index));
    }

    private void snapshot(String disk, ObjectNode reply) throws IOException {
        if (snapshot != null) {
            throw new IOException("this connection has a snapshot already");
        }
        ExportSnapshot taken = emulator.takeSnapshot(indexOf(disk), limits.directory(), limits.storeBytesMax());
        snapshot = taken;
        reader = taken.disk().openReader(new BlockingIoContext());
        reply.put("size", taken.disk().sizeBytes());
    }

    /** By the image's name, its socket, or its number from 0 on. */
    private int indexOf(String disk) throws IOException {
        for (int i = 0; i < disks.size(); i++) {
            if (disk.equals(disks.get(i).block().image())
                    || disk.equals(disks.get(i).listener().describe())
                    || disk.equals(String.valueOf(i))) {
                return i;
            }
        }
        throw new IOException("no disk '" + disk + "' is exported here: there is "
                + String.join(
                        ", ",
                        disks.stream().map(config -> config.block().image()).toList()));
    }

    private int read(long offset, long length, ObjectNode reply) throws IOException {
        ExportSnapshot taken = snapshot;
        SnapshotReader open = reader;
        if (taken == null || open == null) {
            throw new IOException("there is no snapshot to be read");
        }
        long size = taken.disk().sizeBytes();
        if (offset < 0 || length <= 0 || offset % 512 != 0 || length % 512 != 0 || offset > size - length) {
            throw new IllegalArgumentException("no range of this disk: " + length + " bytes from " + offset);
        }
        check(taken.disk(), open.status(offset, length, status), offset);
        long run = status.lengthBytes;
        if (!status.zero) {
            run = Math.min(run, READ_BYTES_MAX);
            check(taken.disk(), open.readOnce(offset, buffer, run), offset);
        }
        reply.put("length", run).put("zero", status.zero);
        return status.zero ? 0 : (int) run;
    }

    private static void check(DiskSnapshot disk, int result, long offset) throws IOException {
        if (result < 0) {
            String failure = disk.failure();
            throw new IOException(
                    failure == null
                            ? "the disk cannot be read at offset " + offset + ": " + Errno.describe(result)
                            : "the snapshot was given up: " + failure);
        }
    }

    @Override
    public void close() throws IOException {
        socket.close();
        if (reader != null) {
            reader.close();
        }
        if (snapshot != null) {
            snapshot.close();
        }
        NativeMemory.free(buffer);
    }
}

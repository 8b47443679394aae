// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import com.fasterxml.jackson.databind.JsonNode;
import dev.vublk.tools.control.ControlClient;
import java.io.IOException;

/** A disk that a running vublk exports, as it was when this source was opened; read over the control socket. */
final class ControlSource implements ImageSource {
    private final ControlClient client;
    private final int chunkBytes;
    private final int unitBytes;
    private final long sizeBytes;

    /** Guarded by this. */
    private long position;

    private ControlSource(ControlClient client, int chunkBytes, int unitBytes) throws IOException {
        this.client = client;
        this.chunkBytes = chunkBytes;
        this.unitBytes = unitBytes;
        sizeBytes = client.ask(client.diskCommand("snapshot")).path("size").asLong();
    }

    /**
     * Takes the snapshot.
     *
     * @param path of the control socket
     * @param disk the image's name, its socket, or its number
     */
    static ControlSource open(String path, String disk, int chunkBytes, int unitBytes) throws IOException {
        ControlClient client = ControlClient.connect(path, disk);
        try {
            return new ControlSource(client, chunkBytes, unitBytes);
        } catch (IOException e) {
            client.close();
            throw e;
        }
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
            JsonNode reply = client.ask(
                    ControlClient.command("read").put("offset", position + at).put("length", length - at));
            long run = reply.path("length").asLong();
            if (run <= 0 || run > length - at) {
                throw new IOException(
                        client.name() + ": sent " + run + " bytes where " + (length - at) + " were wanted");
            }
            boolean zero = reply.path("zero").asBoolean();
            if (!zero) {
                client.read(chunk.bytes(at, (int) run));
            }
            chunk.add(zero ? Chunk.Kind.ZERO : Chunk.Kind.DATA, run);
        }
        chunk.zeroPartsOfUnits(unitBytes);
        position += length;
        return true;
    }

    @Override
    public void giveUp() {
        client.close(); // ends a read that waits for an answer
    }

    @Override
    public void close() {
        giveUp();
    }
}

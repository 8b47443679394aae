// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import dev.vublk.blockdev.BlockOptions;
import dev.vublk.emulator.DiskConfig;
import dev.vublk.emulator.Emulator;
import dev.vublk.emulator.EmulatorConfig;
import dev.vublk.emulator.virtioblk.VirtioBlkSettings;
import dev.vublk.vhostuser.socket.ListenerOptions;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;

/** The real emulator in this process, to put load on: one disk with four queues. */
final class BenchBackend implements AutoCloseable {
    static final int QUEUES = 4;

    private final Emulator emulator;
    private final String socket;

    private BenchBackend(Emulator emulator, String socket) {
        this.emulator = emulator;
        this.socket = socket;
    }

    static BenchBackend start(Path directory, String image) throws IOException {
        String socket = directory.resolve("disk.sock").toString();
        VirtioBlkSettings settings = new VirtioBlkSettings("bench", QUEUES, 1024, true, 126, true, true, 1);
        DiskConfig disk = new DiskConfig(BlockOptions.of(image), ListenerOptions.atPath(socket), settings);
        Emulator emulator = new Emulator(new EmulatorConfig(List.of(disk), 1, List.of(), 0, 8));
        emulator.start();
        return new BenchBackend(emulator, socket);
    }

    String socket() {
        return socket;
    }

    @Override
    public void close() {
        emulator.close();
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator;

import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockDrivers;
import dev.vublk.blockdev.BlockOptions;
import dev.vublk.emulator.coroutine.CoroutineSource;
import dev.vublk.emulator.coroutine.GlobalCoroutinePool;
import dev.vublk.emulator.iothread.FdMonitorKind;
import dev.vublk.emulator.iothread.IOThreadConfig;
import dev.vublk.emulator.iothread.PollSettings;
import dev.vublk.emulator.virtioblk.VirtioBlkSettings;
import dev.vublk.vhostuser.session.SessionOptions;
import dev.vublk.vhostuser.socket.ListenerOptions;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;

/** The real emulator with one disk on a socket in a test's directory. */
public final class EmulatorUnderTest implements AutoCloseable {
    public static final VirtioBlkSettings SETTINGS =
            new VirtioBlkSettings("serial-0", 64, 1024, true, 126, true, true, 16);

    private final Emulator emulator;
    private final String socketPath;

    private EmulatorUnderTest(Emulator emulator, String socketPath) {
        this.emulator = emulator;
        this.socketPath = socketPath;
    }

    /** What to start; one IOThread and a null disk unless told otherwise. */
    public static final class Setup {
        private final String socketPath;
        private BlockOptions block = BlockOptions.of("null:64MiB");
        private BlockDriverOpener opener = BlockDrivers::open;
        private CoroutineSource.Maker coroutines = new GlobalCoroutinePool();
        private VirtioBlkSettings settings = SETTINGS;
        private SessionOptions session = SessionOptions.DEFAULT;
        private int ioThreads = 1;
        private long coroutineShrinkMs = IOThreadConfig.COROUTINE_SHRINK_MS_DEFAULT;
        private int clients = 1;

        public Setup(Path directory) {
            socketPath = directory.resolve("disk.sock").toString();
        }

        public Setup block(BlockOptions newBlock) {
            block = newBlock;
            return this;
        }

        public Setup driver(BlockDriver driver) {
            opener = options -> driver;
            return this;
        }

        public Setup coroutines(CoroutineSource.Maker pools) {
            coroutines = pools;
            return this;
        }

        public Setup settings(VirtioBlkSettings newSettings) {
            settings = newSettings;
            return this;
        }

        public Setup session(SessionOptions options) {
            session = options;
            return this;
        }

        public Setup clients(int count) {
            clients = count;
            return this;
        }

        public Setup ioThreads(int count) {
            ioThreads = count;
            return this;
        }

        public Setup coroutineShrinkMs(long periodMs) {
            coroutineShrinkMs = periodMs;
            return this;
        }

        public EmulatorUnderTest start() throws IOException {
            DiskConfig disk = new DiskConfig(
                    block, ListenerOptions.atPath(socketPath).withClientsMax(clients), session, settings);
            EmulatorConfig config = new EmulatorConfig(
                    List.of(disk),
                    ioThreads,
                    List.of(),
                    0,
                    8,
                    FdMonitorKind.AUTO,
                    PollSettings.DEFAULT,
                    coroutineShrinkMs);
            Emulator emulator = new Emulator(config, coroutines, opener);
            emulator.start();
            return new EmulatorUnderTest(emulator, socketPath);
        }
    }

    public String socketPath() {
        return socketPath;
    }

    /** As on SIGHUP. */
    public void refreshSizes() {
        emulator.refreshSizes();
    }

    /** As its control socket is asked to. */
    public void grow(long sizeBytes) throws IOException {
        emulator.growDisk(0, sizeBytes);
    }

    @Override
    public void close() {
        emulator.close();
    }
}

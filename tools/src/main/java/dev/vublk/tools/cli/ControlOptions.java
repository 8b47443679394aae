// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import dev.vublk.blockdev.BlockDrivers;
import dev.vublk.blockdev.cbw.CopyBeforeWriteDriver;
import dev.vublk.emulator.Emulator;
import dev.vublk.emulator.EmulatorConfig;
import dev.vublk.emulator.coroutine.GlobalCoroutinePool;
import dev.vublk.tools.control.ControlServer;
import dev.vublk.tools.control.SnapshotLimits;
import java.io.IOException;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** The socket on which a running export answers, and what its snapshots may take. */
final class ControlOptions {
    private static final long STORE_BYTES_MAX = 16L << 30;

    @Option(
            names = "--control",
            paramLabel = "PATH",
            description =
                    "Unix socket (mode 0600) for vublk export-image --from-control, which reads a disk's state of one moment while"
                            + " its guest goes on, and for vublk resize --control.")
    private @Nullable Path path;

    @Option(
            names = "--snapshot-dir",
            paramLabel = "DIR",
            description = "Where what guests overwrite meanwhile is kept (default /var/tmp).")
    private Path directory = Path.of("/var/tmp");

    @Option(
            names = "--snapshot-max",
            paramLabel = "SIZE",
            converter = SizeConverter.class,
            description =
                    "How much of it; when guests overwrite more, the export of the image fails, and no guest (default 16G).")
    private long storeBytesMax = STORE_BYTES_MAX;

    /** An emulator whose disks can have snapshots if there is a socket to ask for them; else they pay nothing for it. */
    Emulator newEmulator(EmulatorConfig config) {
        return path == null
                ? new Emulator(config)
                : new Emulator(
                        config,
                        new GlobalCoroutinePool(),
                        options -> new CopyBeforeWriteDriver(BlockDrivers.open(options)));
    }

    /** Listens, if that is wanted: null otherwise. */
    @Nullable
    ControlServer listen(Emulator emulator, EmulatorConfig config) throws IOException {
        return path == null
                ? null
                : new ControlServer(emulator, config.disks(), path, new SnapshotLimits(directory, storeBytesMax));
    }
}

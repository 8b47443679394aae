// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.differential;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** QEMU's own back end on an image: what vublk is compared with. */
final class QemuStorageDaemon implements AutoCloseable {
    private static final String PROGRAM = "qemu-storage-daemon";

    private final Process process;
    private final Path socket;

    private QemuStorageDaemon(Process process, Path socket) {
        this.process = process;
        this.socket = socket;
    }

    static boolean isInstalled() {
        for (String directory : String.valueOf(System.getenv("PATH")).split(":", -1)) {
            if (Files.isExecutable(Path.of(directory, PROGRAM))) {
                return true;
            }
        }
        return false;
    }

    static QemuStorageDaemon start(Path directory, Path image, int queues) throws IOException, InterruptedException {
        Path socket = directory.resolve("qsd.sock");
        Path pidFile = directory.resolve("qsd.pid");
        File log = directory.resolve("qsd.log").toFile();
        // The pid file is written when everything else is set up.
        Process process = new ProcessBuilder(List.of(
                        PROGRAM,
                        "--blockdev",
                        "driver=file,node-name=file,filename=" + image + ",discard=unmap",
                        "--blockdev",
                        "driver=raw,node-name=disk,file=file,discard=unmap",
                        "--export",
                        "type=vhost-user-blk,id=export,node-name=disk,addr.type=unix,addr.path=" + socket
                                + ",writable=on,num-queues=" + queues,
                        "--pidfile",
                        pidFile.toString()))
                .redirectErrorStream(true)
                .redirectOutput(log)
                .start();
        QemuStorageDaemon daemon = new QemuStorageDaemon(process, socket);
        while (!Files.exists(pidFile)) {
            if (process.waitFor(10, TimeUnit.MILLISECONDS)) {
                throw new IOException(PROGRAM + " did not start: " + Files.readString(log.toPath()));
            }
        }
        return daemon;
    }

    String socketPath() {
        return socket.toString();
    }

    /** Ends it and waits, so that the image has all that was written. */
    @Override
    public void close() {
        process.destroy();
        process.onExit().join();
    }
}

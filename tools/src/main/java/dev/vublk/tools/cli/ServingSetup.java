// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.vhostuser.linux.LibC;
import io.netty.channel.uring.IoUring;
import java.util.Arrays;
import java.util.concurrent.CompletableFuture;
import org.apache.logging.log4j.LogManager;

/**
 * What disks are served with, and what takes as long to set up as a command line: log, system calls, and io_uring, in two threads while
 * the arguments are read. Begun and awaited by the main thread, which logs nothing in between.
 */
final class ServingSetup {
    private static CompletableFuture<Void> log = CompletableFuture.completedFuture(null);

    private ServingSetup() {}

    /** With the arguments of the command that will serve. */
    static void begin(String... args) {
        CompletableFuture<Void> first = start("vublk-prepare-log", () -> LogManager.getLogger(ServingSetup.class));
        log = first;
        CompletableFuture<Void> _ = start("vublk-prepare", () -> {
            NativeMemory.free(NativeMemory.allocate(1));
            LibC.check(0);
            // Netty logs. Log4j does not let the second thread wait that asks for a logger: it gets one without a
            // configuration, and a level that is chosen then is forgotten.
            first.join();
            if (Arrays.stream(args).noneMatch(arg -> arg.startsWith("--fd-monitor"))) {
                IoUring.isAvailable(); // Who asks for something else may not be allowed to try.
            }
        });
    }

    private static CompletableFuture<Void> start(String name, Runnable task) {
        return CompletableFuture.runAsync(task, Thread.ofPlatform().name(name).daemon()::start);
    }

    /** Returns when the log is there, or was not begun: before, Log4j tells errors only, and warnings would be lost. */
    static void awaitLog() {
        log.join();
    }
}

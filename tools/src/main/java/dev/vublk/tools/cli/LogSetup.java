// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import java.util.concurrent.TimeUnit;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.core.LoggerContext;
import org.jspecify.annotations.Nullable;

/** The log, which takes as long to set up as a command line, in a thread of its own meanwhile. Begun and awaited by the main thread. */
final class LogSetup {
    /** Far more than it takes; disks are served without a log rather than not at all. */
    private static final long LIMIT_NS = TimeUnit.SECONDS.toNanos(10);

    private static @Nullable Thread thread;

    private LogSetup() {}

    static void begin() {
        thread = Thread.ofPlatform()
                .name("vublk-prepare-log")
                .daemon()
                .start(() -> LogManager.getLogger(LogSetup.class));
    }

    /**
     * Returns when the log is there, or was not begun: before, warnings would be lost, as Log4j tells errors only while it is set up, and
     * a level that is chosen would be forgotten.
     */
    static void await() {
        Thread begun = thread;
        if (begun == null) {
            return;
        }
        boolean interrupted = false;
        while (begun.isAlive()) {
            try {
                begun.join();
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        // Another thread may have been the first that asked for a logger. Log4j does not let the next one wait for it.
        LoggerContext log = LoggerContext.getContext(false);
        long beginNs = System.nanoTime();
        while (!log.isStarted() && System.nanoTime() - beginNs < LIMIT_NS) {
            Thread.onSpinWait();
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}

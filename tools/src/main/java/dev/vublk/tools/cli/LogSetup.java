// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import org.apache.logging.log4j.LogManager;
import org.jspecify.annotations.Nullable;

/** The log, which takes as long to set up as a command line, in a thread of its own meanwhile. Begun and awaited by the main thread. */
final class LogSetup {
    private static @Nullable Thread thread;

    private LogSetup() {}

    static void begin() {
        thread = Thread.ofPlatform()
                .name("vublk-prepare-log")
                .daemon()
                .start(() -> LogManager.getLogger(LogSetup.class));
    }

    /** Returns when the log is there, or was not begun: before, warnings would be lost, as Log4j tells errors only while it is set up. */
    static void await() {
        Thread begun = thread;
        boolean interrupted = false;
        while (begun != null && begun.isAlive()) {
            try {
                begun.join();
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}

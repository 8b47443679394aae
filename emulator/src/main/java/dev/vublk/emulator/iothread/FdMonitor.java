// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.iothread;

/** Watches descriptors for one loop. Called on the loop's thread only. */
interface FdMonitor {
    int POLLIN = 1;
    int POLLOUT = 4;

    /**
     * Calls {@code onReady} each time {@code fd} becomes ready for {@code events} (or hangs up or fails), at least once
     * when it is ready already. Edge-triggered: nobody needs to read an eventfd for the next signal to be noticed.
     */
    FdWatch watch(int fd, int events, Runnable onReady);

    /** One watched descriptor. */
    interface FdWatch {
        /** Ends the watch: {@code onReady} is not called any more, and the descriptor may be closed. */
        void cancel();
    }
}

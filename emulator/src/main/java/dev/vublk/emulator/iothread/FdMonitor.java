// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.iothread;

/** Watches descriptors for one loop. Called on the loop's thread only. */
interface FdMonitor {
    int POLLIN = 1;
    int POLLOUT = 4;

    /**
     * Calls {@code onReady} each time {@code fd} becomes ready for {@code events} (or hangs up or fails), at least once
     * when it is ready already. A monitor that has no edges to tell goes on calling as long as the descriptor is ready.
     */
    FdWatch watch(int fd, int events, Runnable onReady);

    /** As {@link #watch} for an eventfd to be read; whether it is drained is the monitor's business. */
    FdWatch watchEventFd(int fd, Runnable onSignal);

    /** One watched descriptor. */
    interface FdWatch {
        /** Ends the watch: {@code onReady} is not called any more, and the descriptor may be closed. */
        void cancel();
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.worker.compress;

import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;

/** The CPU time of threads. Any thread. */
final class ThreadCpu {
    private static final ThreadMXBean THREADS = ManagementFactory.getThreadMXBean();

    private ThreadCpu() {}

    /** User and system time of the calling thread. */
    static long currentNs() {
        return THREADS.getCurrentThreadCpuTime();
    }

    /** The same of a thread that may have ended: 0 then. */
    static long ofNs(Thread thread) {
        return Math.max(0, THREADS.getThreadCpuTime(thread.threadId()));
    }
}

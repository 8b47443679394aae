// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import dev.vublk.blockdev.IoContext;
import dev.vublk.blockdev.IoRing;
import dev.vublk.blockdev.linux.Errno;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;
import org.jspecify.annotations.Nullable;

/**
 * A plain thread as a loop that has one caller: every call blocks the thread itself. Belongs to one thread.
 *
 * <p>For tools, where the thread has nothing else to do meanwhile. Several threads with a context each are as many requests in
 * flight.
 */
public final class ThreadIoContext implements IoContext {
    private static final Logger LOG = LogManager.getLogger(ThreadIoContext.class);

    @Override
    public @Nullable IoRing ring() {
        return null;
    }

    @Override
    public int runBlocking(BlockingCall call) {
        try {
            return call.run();
        } catch (RuntimeException e) {
            LOG.error("a blocking call failed", e);
            return -Errno.EIO;
        }
    }

    @Override
    public WaitQueue newWaitQueue() {
        return new ThreadQueue();
    }

    /**
     * Where the context's one caller waits for another thread. A wake-up that comes before the caller waits is kept, as a loop
     * keeps the task that it is there.
     */
    private static final class ThreadQueue implements WaitQueue {
        private boolean woken;
        private boolean waiting;

        @Override
        public synchronized void await() {
            boolean interrupted = false;
            waiting = true;
            while (!woken) {
                try {
                    wait();
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
            woken = false;
            waiting = false;
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }

        /** On the caller's own thread, where nobody can be waiting. */
        @Override
        public void wakeOne() {}

        /** On the caller's own thread, where nobody can be waiting. */
        @Override
        public void wakeAll() {}

        @Override
        public synchronized boolean isEmpty() {
            return !waiting;
        }

        @Override
        public synchronized void wakeAllFromAnyThread() {
            woken = true;
            notifyAll();
        }
    }
}

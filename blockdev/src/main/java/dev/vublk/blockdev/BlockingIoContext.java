// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev;

import dev.vublk.blockdev.linux.Errno;
import org.jspecify.annotations.Nullable;

/**
 * The context of one thread that may block: for opening images, and for tools. Without a ring; blocking calls are made on the
 * calling thread. All of a channel's calls come from one thread at a time; several threads with a context each are as many
 * requests in flight.
 */
public final class BlockingIoContext implements IoContext {
    private static final LateLogger LOG = new LateLogger(BlockingIoContext.class);

    @Override
    public @Nullable IoRing ring() {
        return null;
    }

    @Override
    public int runBlocking(BlockingCall call) {
        try {
            return call.run();
        } catch (RuntimeException e) {
            LOG.get().error("a blocking call failed", e);
            return -Errno.EIO;
        }
    }

    @Override
    public WaitQueue newWaitQueue() {
        return new ThreadQueue();
    }

    /** One thread at most waits here: for somebody on another loop. */
    private static final class ThreadQueue implements WaitQueue {
        private boolean waiting;

        /** A wake-up that came before its waiter: on a loop, it would be a task that runs only when the waiter waits. */
        private boolean woken;

        @Override
        public synchronized void await() {
            waiting = true;
            boolean interrupted = false;
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

        /** The loop's own thread calls this, so it does not wait itself. */
        @Override
        public void wakeOne() {}

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

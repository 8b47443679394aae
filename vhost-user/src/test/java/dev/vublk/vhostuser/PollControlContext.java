// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser;

import dev.vublk.vhostuser.linux.EventFd;
import dev.vublk.vhostuser.linux.Poll;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicBoolean;

/** Waiting on a plain thread: poll(2) on the descriptor and on an eventfd that cancels. Owns the eventfds. */
public final class PollControlContext implements ControlContext, AutoCloseable {
    private final ConcurrentLinkedQueue<Cancel> cancels = new ConcurrentLinkedQueue<>();

    @Override
    public boolean awaitReadable(int fd, WaitCancel cancel) {
        return await(fd, Poll.POLLIN, (Cancel) cancel);
    }

    @Override
    public boolean awaitWritable(int fd, WaitCancel cancel) {
        return await(fd, Poll.POLLOUT, (Cancel) cancel);
    }

    private static boolean await(int fd, int events, Cancel cancel) {
        while (!cancel.isCancelled()) {
            if ((Poll.await(fd, events, cancel.eventFd, Poll.FOR_EVER) & 1) != 0) {
                return !cancel.isCancelled();
            }
        }
        return false;
    }

    @Override
    public void spawn(Runnable work) {
        Thread.ofPlatform().name("control-spawned").start(work);
    }

    @Override
    public WaitCancel newWaitCancel() {
        Cancel cancel = new Cancel();
        cancels.add(cancel);
        return cancel;
    }

    @Override
    public void close() {
        cancels.forEach(cancel -> EventFd.close(cancel.eventFd));
        cancels.clear();
    }

    private static final class Cancel implements WaitCancel {
        private final int eventFd = EventFd.create();
        private final AtomicBoolean cancelled = new AtomicBoolean();

        @Override
        public void cancel() {
            cancelled.set(true);
            EventFd.signal(eventFd);
        }

        @Override
        public boolean isCancelled() {
            return cancelled.get();
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.socket;

import dev.vublk.vhostuser.ControlContext;
import dev.vublk.vhostuser.ControlContext.WaitCancel;
import dev.vublk.vhostuser.linux.Errno;
import dev.vublk.vhostuser.linux.EventFd;
import dev.vublk.vhostuser.linux.FileDescriptor;
import java.io.IOException;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * The front ends that one listener serves at once, each in a coroutine of its own. Control loop; only {@link #cancelAll} may be
 * called from any thread.
 */
final class ConnectedClients implements AutoCloseable {
    /** What serves one front end to its end. */
    interface Service {
        void serve(int connectionFd, WaitCancel cancel);
    }

    private final int countMax;
    private final ControlContext control;
    private final Service service;
    private final AtomicInteger count = new AtomicInteger();
    private final List<WaitCancel> cancels = new CopyOnWriteArrayList<>();
    private final AtomicBoolean cancelled = new AtomicBoolean();
    private int leftFd = -1;

    ConnectedClients(int countMax, ControlContext control, Service service) {
        this.countMax = countMax;
        this.control = control;
        this.service = service;
    }

    void open() throws IOException {
        leftFd = EventFd.create();
        if (leftFd < 0) {
            throw new IOException("eventfd: " + Errno.describe(leftFd));
        }
    }

    /** Begins to serve a front end. Owns the descriptor from then on. */
    void add(int connectionFd) {
        count.incrementAndGet();
        WaitCancel cancel = control.newWaitCancel();
        cancels.add(cancel);
        if (cancelled.get()) {
            cancel.cancel(); // cancelAll may have looked before this one was there.
        }
        control.spawn(() -> {
            try {
                service.serve(connectionFd, cancel);
            } finally {
                cancels.remove(cancel);
                onLeft();
            }
        });
    }

    /** Together: once the count says that nobody is left, the descriptor may be gone. */
    private synchronized void onLeft() {
        count.decrementAndGet();
        EventFd.signal(leftFd);
    }

    /** Waits until one more may come. Returns false when {@code cancel} ended the wait. */
    boolean awaitRoom(WaitCancel cancel) {
        return awaitFewerThan(countMax, cancel);
    }

    /** Waits until all have left. */
    void awaitNone() {
        awaitFewerThan(1, control.newWaitCancel());
    }

    private boolean awaitFewerThan(int limit, WaitCancel cancel) {
        while (count.get() >= limit) {
            if (!control.awaitReadable(leftFd, cancel)) {
                return false;
            }
            EventFd.drain(leftFd);
        }
        return true;
    }

    /** Ends every wait of those that are served, now and later. Any thread. */
    void cancelAll() {
        cancelled.set(true);
        cancels.forEach(WaitCancel::cancel);
    }

    /** Nobody is served any more. */
    @Override
    public synchronized void close() {
        if (leftFd >= 0) {
            FileDescriptor.close(leftFd);
            leftFd = -1;
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.iothread;

import dev.vublk.emulator.linux.DescriptorPoller;
import dev.vublk.vhostuser.linux.EventFd;
import io.netty.channel.IoHandle;
import io.netty.channel.IoHandler;
import io.netty.channel.IoHandlerContext;
import io.netty.channel.IoRegistration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;
import org.jspecify.annotations.Nullable;

/**
 * What a loop waits with where io_uring is not to be had: epoll or poll, as a handler for Netty's loop and as the loop's
 * {@link FdMonitor}. Runs on its IOThread, but for {@link #wakeup}.
 */
final class DescriptorIoHandler implements IoHandler, FdMonitor {
    private static final Logger LOG = LogManager.getLogger(DescriptorIoHandler.class);

    /** A busy loop looks at descriptors in one pass of so many: a system call in each would cost more than it finds. */
    private static final int PASSES_BETWEEN_LOOKS = 16;

    private static final long NS_PER_MS = 1_000_000;

    /** Token of the eventfd that other threads wake the loop with. */
    private static final long WAKE_UP = -1;

    private final DescriptorPoller poller;
    private final int wakeUpFd;
    private final AtomicBoolean wakeUpPending = new AtomicBoolean();
    private final List<@Nullable Watch> watches = new ArrayList<>();
    private final ArrayDeque<Integer> freeSlots = new ArrayDeque<>();
    private int generation;
    private int passesSinceLook;
    private boolean closed;

    DescriptorIoHandler(DescriptorPoller poller) {
        this.poller = poller;
        wakeUpFd = EventFd.create();
        if (wakeUpFd < 0) {
            poller.close();
            throw new IllegalStateException("eventfd failed with errno " + -wakeUpFd);
        }
        poller.add(wakeUpFd, POLLIN, WAKE_UP);
    }

    @Override
    public int run(IoHandlerContext context) {
        if (closed) {
            return 0;
        }
        if (context.canBlock()) {
            return dispatch(poller.await(timeoutMs(context)));
        }
        if (++passesSinceLook >= PASSES_BETWEEN_LOOKS) {
            return dispatch(poller.await(0));
        }
        return 0;
    }

    private static int timeoutMs(IoHandlerContext context) {
        if (context.deadlineNanos() == -1) {
            return -1;
        }
        // Rounded up: a task that is not due yet must not make the loop spin.
        long delayMs = (context.delayNanos(System.nanoTime()) + NS_PER_MS - 1) / NS_PER_MS;
        return Math.clamp(delayMs, 0, Integer.MAX_VALUE);
    }

    private int dispatch(int ready) {
        passesSinceLook = 0;
        for (int i = 0; i < ready; i++) {
            long token = poller.readyToken(i);
            if (token == WAKE_UP) {
                // Drained before the flag falls: who raises it again signals anew, and nobody's signal is eaten.
                EventFd.drain(wakeUpFd);
                wakeUpPending.set(false);
            } else {
                onReady(token);
            }
        }
        return ready;
    }

    private void onReady(long token) {
        Watch watch = watches.get((int) token);
        if (watch == null || watch.token != token) {
            return; // Cancelled by what was dispatched just before.
        }
        try {
            if (watch.isEventFd && poller.isLevelTriggered()) {
                EventFd.drain(watch.fd);
            }
            watch.onReady.run();
        } catch (Throwable t) {
            LOG.error("watching descriptor {} failed", watch.fd, t);
        }
    }

    @Override
    public void wakeup() {
        if (wakeUpPending.compareAndSet(false, true)) {
            EventFd.signal(wakeUpFd);
        }
    }

    @Override
    public FdWatch watch(int fd, int events, Runnable onReady) {
        return watch(fd, events, onReady, false);
    }

    @Override
    public FdWatch watchEventFd(int fd, Runnable onSignal) {
        return watch(fd, POLLIN, onSignal, true);
    }

    private FdWatch watch(int fd, int events, Runnable onReady, boolean isEventFd) {
        Integer free = freeSlots.poll();
        int slot = free != null ? free : watches.size();
        if (free == null) {
            watches.add(null);
        }
        // The generation tells a slot's new watch from the old one that a pending event may still name.
        long token = (long) ++generation << 32 | slot;
        Watch watch = new Watch(token, fd, onReady, isEventFd);
        poller.add(fd, events, token);
        watches.set(slot, watch);
        return watch;
    }

    @Override
    public void destroy() {
        closed = true;
        // Late wake-ups find the flag up and leave the descriptor alone.
        wakeUpPending.set(true);
        poller.close();
        EventFd.close(wakeUpFd);
    }

    @Override
    public IoRegistration register(IoHandle handle) {
        throw new UnsupportedOperationException("descriptors are watched through FdMonitor");
    }

    @Override
    public boolean isCompatible(Class<? extends IoHandle> handleType) {
        return false;
    }

    private final class Watch implements FdWatch {
        private final long token;
        private final int fd;
        private final Runnable onReady;
        private final boolean isEventFd;
        private boolean cancelled;

        private Watch(long token, int fd, Runnable onReady, boolean isEventFd) {
            this.token = token;
            this.fd = fd;
            this.onReady = onReady;
            this.isEventFd = isEventFd;
        }

        @Override
        public void cancel() {
            if (!cancelled) {
                cancelled = true;
                poller.remove(fd, token);
                watches.set((int) token, null);
                freeSlots.add((int) token);
            }
        }
    }
}

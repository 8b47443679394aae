// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.iothread;

import io.netty.channel.IoEvent;
import io.netty.channel.IoRegistration;
import io.netty.channel.uring.IoUringIoEvent;
import io.netty.channel.uring.IoUringIoHandle;
import io.netty.channel.uring.IoUringIoOps;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;
import org.jspecify.annotations.Nullable;

/**
 * Watches descriptors with multishot {@code IORING_OP_POLL_ADD} on the loop's ring. Runs on its IOThread.
 *
 * <p>A watch has a slot, which travels as user data. A slot is free again only when the kernel has said that its poll is
 * over (a completion without {@code IORING_CQE_F_MORE}), so a late completion never reaches a new watch.
 */
final class UringFdMonitor implements FdMonitor, IoUringIoHandle {
    private static final Logger LOG = LogManager.getLogger(UringFdMonitor.class);

    private static final byte IORING_OP_POLL_ADD = 6;
    private static final byte IORING_OP_ASYNC_CANCEL = 14;
    private static final int IORING_POLL_ADD_MULTI = 1;
    private static final int IORING_CQE_F_MORE = 1 << 1;
    private static final int ECANCELED = 125;

    /** User data of cancellations: their completions say nothing that matters. */
    private static final short CANCELLATION = -1;

    private final List<@Nullable Watch> watches = new ArrayList<>();
    private final ArrayDeque<Integer> freeSlots = new ArrayDeque<>();
    private @Nullable IoRegistration registration;

    void registeredAs(IoRegistration newRegistration) {
        registration = newRegistration;
    }

    @Override
    public FdWatch watch(int fd, int events, Runnable onReady) {
        Integer free = freeSlots.poll();
        int slot;
        if (free != null) {
            slot = free;
        } else {
            slot = watches.size();
            if (slot > Short.MAX_VALUE) {
                throw new IllegalStateException("more than " + Short.MAX_VALUE + " descriptors watched by one loop");
            }
            watches.add(null);
        }
        Watch watch = new Watch(slot, fd, events, onReady);
        watches.set(slot, watch);
        watch.arm();
        return watch;
    }

    @Override
    public FdWatch watchEventFd(int fd, Runnable onSignal) {
        // A multishot poll completes on each signal, read or not.
        return watch(fd, POLLIN, onSignal);
    }

    @Override
    public void handle(IoRegistration from, IoEvent event) {
        try {
            IoUringIoEvent completion = (IoUringIoEvent) event;
            if (completion.userData() != CANCELLATION) {
                onPollCompletion((int) completion.userData(), completion.res(), completion.flags());
            }
        } catch (Throwable t) {
            // Netty would stop the loop for 100 ms on an Exception and end it on an Error.
            LOG.error("watching descriptors failed", t);
        }
    }

    private void onPollCompletion(int slot, int result, int flags) {
        Watch watch = watches.get(slot);
        if (watch == null) {
            return;
        }
        boolean over = (flags & IORING_CQE_F_MORE) == 0;
        if (watch.cancelled) {
            if (over) {
                watches.set(slot, null);
                freeSlots.add(slot);
            }
            return;
        }
        if (over && result != -ECANCELED) {
            if (result >= 0) {
                // The completion queue was full, or another io_uring signalled: the kernel ends a multishot poll then.
                watch.arm();
            } else {
                LOG.warn("poll of descriptor {} failed with errno {}", watch.fd, -result);
                watch.failed = true;
            }
        }
        watch.onReady.run();
    }

    private IoRegistration registration() {
        IoRegistration present = registration;
        if (present == null) {
            throw new IllegalStateException("the loop has not started");
        }
        return present;
    }

    /** Descriptors that are watched, or were until the kernel says that it no longer looks. For tests. */
    int watchCount() {
        return watches.size() - freeSlots.size();
    }

    @Override
    public void close() {
        for (Watch watch : watches) {
            if (watch != null && !watch.cancelled) {
                watch.cancel();
            }
        }
    }

    private final class Watch implements FdWatch {
        private final int slot;
        private final int fd;
        private final Runnable onReady;
        /** The same each time, so that arming anew makes no garbage. */
        private final IoUringIoOps poll;

        private long submission;
        private boolean cancelled;
        private boolean failed;

        private Watch(int slot, int fd, int events, Runnable onReady) {
            this.slot = slot;
            this.fd = fd;
            this.onReady = onReady;
            poll = new IoUringIoOps(
                    IORING_OP_POLL_ADD,
                    (byte) 0,
                    (short) 0,
                    fd,
                    0L,
                    0L,
                    IORING_POLL_ADD_MULTI,
                    events,
                    (long) slot,
                    (short) 0,
                    (short) 0,
                    0,
                    0L);
        }

        private void arm() {
            submission = registration().submit(poll);
        }

        @Override
        public void cancel() {
            if (cancelled) {
                return;
            }
            cancelled = true;
            if (failed) {
                watches.set(slot, null);
                freeSlots.add(slot);
                return;
            }
            // Not POLL_REMOVE: that fails with EALREADY, and the poll stays, when an event is just being reported.
            registration()
                    .submit(new IoUringIoOps(
                            IORING_OP_ASYNC_CANCEL,
                            (byte) 0,
                            (short) 0,
                            -1,
                            0L,
                            submission,
                            0,
                            0,
                            (long) CANCELLATION,
                            (short) 0,
                            (short) 0,
                            0,
                            0L));
        }
    }
}

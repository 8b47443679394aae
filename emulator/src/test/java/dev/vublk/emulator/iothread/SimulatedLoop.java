// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.iothread;

import dev.vublk.blockdev.IoContext;
import dev.vublk.emulator.coroutine.Coroutine;
import dev.vublk.emulator.coroutine.CoroutinePool;
import dev.vublk.emulator.coroutine.GlobalCoroutinePool;
import dev.vublk.vhostuser.linux.EventFd;
import dev.vublk.vhostuser.linux.Poll;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/**
 * A loop with the product's own passes, run one at a time by a simulator, on the thread of all the others. It sleeps in
 * simulated time: {@link #runPass} then does nothing until a task, a completion or a descriptor is there.
 *
 * <p>In the package of the loops because it stands where {@link IOThread} stands.
 */
public final class SimulatedLoop extends PassLoop {
    private final Random random;
    private final LongSupplier nowNs;
    private final CoroutinePool coroutines;
    private final PollSettings polling;
    private final AdaptivePoller poller;
    private final ArrayDeque<Runnable> tasks = new ArrayDeque<>();
    private final ArrayDeque<Coroutine> completions = new ArrayDeque<>();
    private final List<Watch> watches = new ArrayList<>();
    private final FdMonitor fdMonitor = new SimulatedFdMonitor();
    private final Runnable others;
    private @Nullable IoContext ioContext;
    private boolean isRunning;
    private boolean isAsleep;
    private boolean passBegun;

    /** @param others what other processors do at a moment in the middle of a pass: it happens before the loop sleeps */
    public SimulatedLoop(
            String name,
            Random random,
            LongSupplier nowNs,
            PollSettings polling,
            GlobalCoroutinePool global,
            Runnable others) {
        super(name);
        this.others = others;
        this.random = random;
        this.nowNs = nowNs;
        this.polling = polling;
        poller = new AdaptivePoller(polling, this::schedule);
        coroutines = new CoroutinePool(global, this::execute, this::onCoroutineAvailable);
    }

    public void ioContext(IoContext context) {
        ioContext = context;
    }

    /** Runs one pass. Returns false when the loop sleeps and nothing wakes it. */
    public boolean runPass() {
        if (isAsleep && tasks.isEmpty() && completions.isEmpty() && !hasWork() && !isAnyReady()) {
            return false;
        }
        isAsleep = false;
        isRunning = true;
        passBegun = false;
        terminated = false;
        runOwners();
        isRunning = false;
        return true;
    }

    private boolean isAnyReady() {
        for (Watch watch : watches) {
            if (watch.isReady()) {
                return true;
            }
        }
        return false;
    }

    @Override
    void beginPass() {
        if (passBegun) {
            terminated = true; // One pass at a time: the next one is the simulator's to begin.
            return;
        }
        passBegun = true;
        boolean mayLeaveSome = hasWork();
        if (!mayLeaveSome || random.nextInt(4) != 0) {
            lookAtDescriptors();
        }
        // Like the kernel's, completions come in when they come in: a busy loop may see some of them later.
        while (!completions.isEmpty() && (!mayLeaveSome || random.nextInt(8) != 0)) {
            wake(completions.remove());
        }
        for (int left = tasks.size(); left > 0; left--) {
            tasks.remove().run();
        }
        if (!hasWork() && completions.isEmpty() && tasks.isEmpty()) {
            pollOrSleep();
        }
    }

    private void lookAtDescriptors() {
        for (Watch watch : List.copyOf(watches)) {
            if (!watch.isCancelled) {
                watch.look();
            }
        }
    }

    /** As {@link IOThread}, but that polling lasts as long as chance wants. */
    private void pollOrSleep() {
        if (polling.maxNs() > 0) {
            poller.begin();
            if (poller.spin(1) || random.nextInt(3) == 0) {
                return;
            }
            others.run();
            poller.end(nowNs.getAsLong());
        }
        isAsleep = !hasWork();
    }

    /** A wait of {@code coroutine} is over; it goes on in one of the next passes. */
    public void complete(Coroutine coroutine) {
        completions.add(coroutine);
    }

    /** Coroutines that are in the middle of something; 0 between two passes of an idle loop. */
    public int busyCoroutines() {
        return coroutines.alive();
    }

    /** Ends the loop, in which nothing waits any more. */
    public void close() {
        coroutines.close();
    }

    @Override
    CoroutinePool coroutines() {
        return coroutines;
    }

    @Override
    FdMonitor fdMonitor() {
        return fdMonitor;
    }

    @Override
    public IoContext ioContext() {
        return Objects.requireNonNull(ioContext);
    }

    @Override
    public void pollWhileActive(PolledItem item) {
        poller.onActive(item);
    }

    @Override
    public void stopPolling(PolledItem item) {
        poller.remove(item);
    }

    @Override
    public void execute(Runnable task) {
        tasks.add(task);
    }

    @Override
    public boolean inLoop() {
        return isRunning;
    }

    /** Looks at real descriptors, without ever waiting for them: all that writes them runs on this thread. */
    private final class SimulatedFdMonitor implements FdMonitor {
        @Override
        public FdWatch watch(int fd, int events, Runnable onReady) {
            return add(new Watch(fd, events, false, onReady));
        }

        @Override
        public FdWatch watchEventFd(int fd, Runnable onSignal) {
            return add(new Watch(fd, POLLIN, true, onSignal));
        }

        private Watch add(Watch watch) {
            watches.add(watch);
            return watch;
        }
    }

    private final class Watch implements FdMonitor.FdWatch {
        private final int fd;
        private final int events;
        private final boolean drains;
        private final Runnable onReady;
        private boolean isCancelled;

        private Watch(int fd, int events, boolean drains, Runnable onReady) {
            this.fd = fd;
            this.events = events;
            this.drains = drains;
            this.onReady = onReady;
        }

        private boolean isReady() {
            return Poll.await(fd, events, -1, 0) > 0;
        }

        private void look() {
            if (drains ? EventFd.drain(fd) == Long.BYTES : isReady()) {
                onReady.run();
            }
        }

        @Override
        public void cancel() {
            isCancelled = true;
            watches.remove(this);
        }
    }
}

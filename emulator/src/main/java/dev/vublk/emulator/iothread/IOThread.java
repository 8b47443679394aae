// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.iothread;

import dev.vublk.blockdev.IoContext;
import dev.vublk.emulator.coroutine.Coroutine;
import dev.vublk.emulator.coroutine.CoroutineLoop;
import dev.vublk.emulator.coroutine.CoroutinePool;
import dev.vublk.emulator.coroutine.GlobalCoroutinePool;
import dev.vublk.emulator.linux.CpuAffinity;
import dev.vublk.emulator.linux.EpollPoller;
import dev.vublk.emulator.linux.PollPoller;
import dev.vublk.emulator.trace.CoroutineSwitchesEvent;
import dev.vublk.emulator.trace.PollModeEvent;
import dev.vublk.emulator.worker.WorkerClient;
import dev.vublk.emulator.worker.WorkerPool;
import dev.vublk.vhostuser.linux.Errno;
import io.netty.channel.IoHandlerContext;
import io.netty.channel.IoHandlerFactory;
import io.netty.channel.SingleThreadIoEventLoop;
import io.netty.channel.uring.IoUring;
import io.netty.channel.uring.IoUringIoHandler;
import io.netty.channel.uring.IoUringIoHandlerConfig;
import io.netty.util.concurrent.ThreadPerTaskExecutor;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Objects;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;
import org.jspecify.annotations.Nullable;

/**
 * One thread with one loop: a Netty loop (io_uring, epoll or poll) whose passes run inside coroutines.
 *
 * <p>A pass takes completions and tasks in, resumes the coroutines whose waits are over, runs the queued items, and lets
 * the pass-end listeners publish. <b>The passes themselves run in a coroutine</b>, the loop's owner: an item runs inline
 * and costs no switch unless it waits. When it waits, its coroutine keeps it, and another coroutine from the pool takes
 * the loop over in the middle of the pass. A resumed coroutine runs nested in the owner.
 *
 * <p>Netty's own frames never suspend: its callbacks only mark work, which the pass then does.
 */
public final class IOThread implements CoroutineLoop, AutoCloseable {
    private static final Logger LOG = LogManager.getLogger(IOThread.class);

    /** Of Netty's ring, which watches descriptors and is woken by other threads. */
    private static final int RING_ENTRIES = 1024;

    /** Disk operations in flight per loop, on the loop's other ring. */
    static final int OPERATION_SLOTS = 1024;

    /** After so many failed passes without a whole one between them there is no hope. Arbitrary. */
    private static final int FAILURES_IN_A_ROW_MAX = 100;

    /**
     * A loop with disks on a ring of their own looks at descriptors after so many looks at the poll list, of which a pass counts
     * for {@link #SPINS_A_PASS}: each look may make garbage in Netty. Both arbitrary.
     */
    private static final int SPINS_BETWEEN_LOOKS = 2048;

    private static final int SPINS_A_PASS = SPINS_BETWEEN_LOOKS / 16;

    /** Looks at the poll list between two looks at the clock, and at the ring while operations are in flight. Arbitrary. */
    private static final int SPINS = 32;

    private static final int SPINS_WITH_IO = 4;

    private final String name;
    private final IOThreadConfig config;
    private final CoroutinePool coroutines;
    private final FdMonitor fdMonitor;
    private final @Nullable UringOperations operations;
    private final AdaptivePoller poller;
    private final WorkerClient workers;
    private final LoopIoContext ioContext;
    private final Loop loop;

    private final ArrayDeque<PassItem> items = new ArrayDeque<>();
    private final ArrayDeque<Coroutine> resumable = new ArrayDeque<>();
    /** Items that found no coroutine left; each is in here at most once a pass. */
    private final ArrayDeque<PassItem> starvedItems = new ArrayDeque<>();

    private final ArrayList<PassEndListener> passEndListeners = new ArrayList<>();

    /** What an owner does; one object for all of them. */
    private final Runnable passes = this::runPasses;

    /** The coroutine that runs the passes; null between two owners. */
    private @Nullable Coroutine owner;
    /** The coroutine that runs now. */
    private @Nullable Coroutine current;
    /** The item that the owner runs now. */
    private @Nullable PassItem currentItem;
    /** Items still to be run in this pass. */
    private int itemsLeft;

    /** Passes that ended in an exception since the last whole one. */
    private int failuresInARow;

    /** Keeps an eye on how long passes take. */
    private final PassWatchdog watchdog;

    /** Passes that ended in an exception, ever; written by the loop only. */
    private volatile long failedPasses;

    private int spinsSinceLook;

    private boolean terminated;

    /** Written by whoever makes the loop run first. */
    private volatile @Nullable Thread thread;

    /**
     * Makes what the loop waits with, but starts no thread yet. Throws {@link IllegalStateException} when io_uring is wanted
     * and not to be had.
     *
     * @param config how the thread is to be
     */
    public IOThread(IOThreadConfig config, GlobalCoroutinePool coroutines, WorkerPool workers) {
        this.config = Objects.requireNonNull(config, "config");
        this.name = config.name();
        FdMonitorKind monitorKind = config.monitorKind();
        poller = new AdaptivePoller(config.polling(), this::schedule);
        watchdog = new PassWatchdog(name);
        IoHandlerFactory handlers;
        if (monitorKind == FdMonitorKind.IO_URING) {
            if (!IoUring.isAvailable()) {
                throw new IllegalStateException("io_uring is not to be had: "
                        + IoUring.unavailabilityCause().getMessage());
            }
            fdMonitor = new UringFdMonitor();
            operations = new UringOperations(this, OPERATION_SLOTS);
            handlers = IoUringIoHandler.newFactory(new IoUringIoHandlerConfig().setRingSize(RING_ENTRIES));
        } else {
            DescriptorIoHandler handler =
                    new DescriptorIoHandler(monitorKind == FdMonitorKind.POLL ? new PollPoller() : new EpollPoller());
            fdMonitor = handler;
            operations = null;
            handlers = executor -> handler;
        }
        loop = newLoop(handlers);
        this.coroutines = new CoroutinePool(coroutines, loop, this::onCoroutineAvailable);
        this.workers = workers.newClient(loop::wakeUpLoop);
        ioContext = new LoopIoContext(this, operations, this.workers);
    }

    private Loop newLoop(IoHandlerFactory handlers) {
        try {
            return new Loop(new ThreadPerTaskExecutor(this::newThread), handlers);
        } catch (RuntimeException | Error e) {
            closeOperations();
            throw e;
        }
    }

    private void closeOperations() {
        if (operations != null) {
            operations.close();
        }
    }

    private Thread newThread(Runnable task) {
        Thread created = new Thread(task, name);
        thread = created;
        return created;
    }

    /** Starts the thread; returns when it runs. When it throws {@link IllegalStateException}, nothing is left running. */
    public void start() {
        boolean started = false;
        try {
            loop.submit(this::prepare).get();
            if (fdMonitor instanceof UringFdMonitor uringMonitor) {
                uringMonitor.registeredAs(loop.register(uringMonitor).get());
            }
            if (operations != null) {
                loop.submit(() -> operations.start(fdMonitor)).get();
            }
            Future<?> _ = loop.scheduleWithFixedDelay(
                    coroutines::shrink, config.coroutineShrinkMs(), config.coroutineShrinkMs(), TimeUnit.MILLISECONDS);
            started = true;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted while starting " + name, e);
        } catch (ExecutionException e) {
            Throwable cause = Objects.requireNonNullElse(e.getCause(), e);
            String reason = cause instanceof IllegalStateException ? cause.getMessage() : cause.toString();
            throw new IllegalStateException("cannot start " + name + ": " + reason, cause);
        } finally {
            if (!started) {
                close();
            }
        }
    }

    private void prepare() {
        CpuAffinity cpus = config.cpus();
        if (cpus != null) {
            int result = cpus.applyToCallingThread();
            if (result < 0) {
                throw new IllegalStateException("cannot run on processors " + cpus + ": " + Errno.describe(result));
            }
        }
    }

    public String name() {
        return name;
    }

    /** How disks wait on this loop. */
    public IoContext ioContext() {
        return ioContext;
    }

    /** The watcher of descriptors; on this thread only. */
    FdMonitor fdMonitor() {
        return fdMonitor;
    }

    /** Calls {@code onSignal} whenever {@code fd}, an eventfd, is signalled. Returns what ends that. On this thread only. */
    public Runnable watchEventFd(int fd, Runnable onSignal) {
        return fdMonitor.watchEventFd(fd, onSignal)::cancel;
    }

    /** Tells that {@code item} has something to do: the loop polls it from now on, unless polling is off. */
    public void pollWhileActive(PolledItem item) {
        poller.onActive(item);
    }

    /** Polls {@code item} no more. On this thread only. */
    public void stopPolling(PolledItem item) {
        poller.remove(item);
    }

    /** How many items the loop polls now. On this thread only. */
    int polledItems() {
        return poller.count();
    }

    /** Runs {@code work} in a coroutine of this loop, where it may suspend. Any thread. */
    public void spawn(Runnable work) {
        PassItem item = new SpawnedWork(work);
        if (inLoop()) {
            schedule(item);
        } else {
            loop.execute(() -> schedule(item));
        }
    }

    @Override
    public void execute(Runnable task) {
        loop.execute(task);
    }

    @Override
    public boolean inLoop() {
        return loop.inEventLoop();
    }

    /** Queues {@code item} for this pass or the next, unless it is queued already. On this thread only. */
    public void schedule(PassItem item) {
        if (!item.queued) {
            item.queued = true;
            items.add(item);
        }
    }

    /** Calls {@code listener} once at the end of this pass. On this thread only, once a pass for each listener. */
    public void atPassEnd(PassEndListener listener) {
        passEndListeners.add(listener);
    }

    /**
     * Whether a coroutine is left to take the loop over if the present one suspends. When not, {@code starved} waits its
     * turn: it is scheduled as soon as there is one again. On this thread only.
     */
    public boolean canSuspend(PassItem starved) {
        if (coroutines.canTake()) {
            return true;
        }
        starvedItems.add(starved);
        return false;
    }

    private void onCoroutineAvailable() {
        for (int left = starvedItems.size(); left > 0; left--) {
            schedule(starvedItems.remove());
        }
    }

    @Override
    public Coroutine currentCoroutine() {
        Coroutine running = current;
        if (running == null) {
            throw new IllegalStateException("not in a coroutine");
        }
        return running;
    }

    @Override
    public void suspendCurrent() {
        if (current == owner) {
            owner = null;
            PassItem item = currentItem;
            if (item != null && item.goesOnElsewhere() && !item.queued) {
                item.queued = true;
                items.addFirst(item);
                itemsLeft++;
            }
        }
        Coroutine.suspend();
    }

    @Override
    public void wake(Coroutine coroutine) {
        resumable.add(coroutine);
    }

    /** What the thread does: hands the loop to one coroutine after the other. */
    private void runOwners() {
        while (!terminated) {
            // At the limit the loop itself still needs somebody to run it; work that asks canSuspend does not.
            Coroutine next = coroutines.takeRegardless();
            owner = next;
            current = next;
            try {
                next.start(passes);
            } catch (Throwable t) {
                onCoroutineDied(next, t);
            }
            current = null;
            releaseIfIdle(next);
        }
    }

    /**
     * Something was thrown where nobody handles it: outside of an item, or, as the {@link InternalError} of guest memory that
     * is gone may be, a little later than where it happened. The loop goes on with the next coroutine, unless it fails
     * again and again.
     */
    private void onCoroutineDied(Coroutine coroutine, Throwable failure) {
        LOG.error("{}: a pass failed", name, failure);
        countFailedPass();
        coroutines.discard(coroutine);
        if (++failuresInARow > FAILURES_IN_A_ROW_MAX) {
            throw new IllegalStateException(name + " cannot go on", failure);
        }
    }

    @SuppressWarnings("NonAtomicVolatileUpdate") // written by the loop only; volatile for those who read
    private void countFailedPass() {
        failedPasses++;
    }

    /** Passes that ended in an exception since the thread started: 0 unless there is a mistake of ours. Any thread. */
    public long failedPasses() {
        return failedPasses;
    }

    private void releaseIfIdle(Coroutine coroutine) {
        if (coroutine.isIdle()) {
            coroutines.release(coroutine);
            if (!starvedItems.isEmpty()) {
                onCoroutineAvailable();
            }
        }
    }

    /** Pass after pass, as long as this coroutine owns the loop. May begin in the middle of a pass. */
    private void runPasses() {
        Coroutine me = currentCoroutine();
        while (!terminated) {
            if (itemsLeft == 0) {
                beginPass();
            }
            while (itemsLeft > 0) {
                itemsLeft--;
                runItem(items.remove());
                if (owner != me) {
                    return;
                }
            }
            endPass();
        }
    }

    private void beginPass() {
        loop.slept = false;
        if (poller.isEnabled() && !hasWork()) {
            pollOrSleep();
        } else {
            lookOrSleep();
        }
        loop.runTasks();
        workers.drainCompletions(Integer.MAX_VALUE);
        resumeCoroutines();
        itemsLeft = items.size();
    }

    /** Takes in what is there; sleeps when that is nothing and there is nothing else to do either. */
    private void lookOrSleep() {
        if (operations != null) {
            operations.poll();
            if (hasWork() && !isLookDue(SPINS_A_PASS)) {
                return;
            }
        }
        runIo();
        if (loop.slept) {
            watchdog.begin(System.nanoTime());
        }
    }

    private boolean isLookDue(int spins) {
        spinsSinceLook += spins;
        if (spinsSinceLook < SPINS_BETWEEN_LOOKS) {
            return false;
        }
        spinsSinceLook = 0;
        return true;
    }

    /** Takes in what the descriptors and other threads say, and may sleep until there is something. */
    private void runIo() {
        spinsSinceLook = 0;
        loop.runIo();
        workers.onAwake();
        if (operations != null) {
            operations.onAwake();
            if (loop.slept) {
                operations.poll();
            }
        }
    }

    /** Looks for work in user space for a while, then asks everybody for signals and sleeps until there is one. */
    private void pollOrSleep() {
        long beginNs = watchdog.lastEndNs();
        if (poller.pollNs() > 0 && foundByPolling(beginNs)) {
            return;
        }
        poller.end(beginNs);
        runIo();
        long awakeNs = System.nanoTime();
        watchdog.begin(awakeNs);
        if (loop.slept) {
            long pollNsBefore = poller.pollNs();
            poller.onWork(awakeNs - beginNs);
            if (poller.pollNs() != pollNsBefore && PollModeEvent.isOn()) {
                PollModeEvent.record(name, poller.pollNs(), poller.count());
            }
        }
    }

    private boolean foundByPolling(long beginNs) {
        long nowNs = beginNs;
        spinsSinceLook += SPINS_A_PASS;
        poller.begin();
        do {
            // First of all submits what waits, and takes completions from the ring.
            int spins = SPINS;
            if (operations != null && operations.inFlight() > 0) {
                operations.poll();
                spins = SPINS_WITH_IO;
            }
            if (isLookDue(spins)) {
                loop.lookAtIo();
            }
            if (hasWork() || loop.hasPostedTasks() || workers.hasCompletions() || poller.spin(spins)) {
                watchdog.begin(nowNs);
                return true;
            }
            nowNs = System.nanoTime();
        } while (nowNs - beginNs < poller.pollNs());
        return false;
    }

    private void resumeCoroutines() {
        if (resumable.isEmpty()) {
            return;
        }
        watchdog.ran("resumed coroutines");
        if (CoroutineSwitchesEvent.isOn()) {
            CoroutineSwitchesEvent.record(name, resumable.size());
        }
        // Those that are woken meanwhile wait for the next pass, so that a pass is bounded.
        for (int left = resumable.size(); left > 0; left--) {
            Coroutine next = resumable.remove();
            Coroutine me = current;
            current = next;
            try {
                next.resume();
            } catch (Throwable t) {
                onCoroutineDied(next, t);
            }
            current = me;
            releaseIfIdle(next);
        }
    }

    private void runItem(PassItem item) {
        item.queued = false;
        currentItem = item;
        watchdog.ran(item);
        try {
            item.run();
        } catch (Throwable t) {
            item.onFailure(t);
        }
        currentItem = null;
    }

    private void endPass() {
        for (int i = 0; i < passEndListeners.size(); i++) {
            PassEndListener listener = passEndListeners.get(i);
            try {
                listener.onPassEnd();
            } catch (Throwable t) {
                listener.onFailure(t);
            }
        }
        passEndListeners.clear();
        failuresInARow = 0;
        watchdog.end();
    }

    private void leavePool() {
        try {
            coroutines.close();
        } catch (IllegalStateException e) {
            LOG.error("{} ends in the middle of something: {}", name, coroutines.dump(), e);
        }
    }

    /** From here on the kernel and the workers wake the loop. Returns whether it may sleep. */
    private boolean prepareToBlock() {
        return (operations == null || operations.prepareToBlock()) && workers.prepareToBlock();
    }

    private boolean hasWork() {
        return !items.isEmpty() || !resumable.isEmpty();
    }

    /** Passes that took longer than a millisecond. Any thread; a little old. */
    public long slowPasses() {
        return watchdog.slowPasses();
    }

    /** Coroutines that are suspended in the middle of something, with where they stand. On this thread only. */
    public String dumpCoroutines() {
        return coroutines.dump();
    }

    /** Stops the thread. Whoever uses it has stopped before; operations in flight are waited for. Any other thread. */
    @Override
    public void close() {
        loop.shutdownGracefully(0, 10, TimeUnit.SECONDS).awaitUninterruptibly();
        Thread ended = thread;
        if (ended != null) {
            join(ended);
        }
        closeOperations();
        workers.close();
    }

    /** The loop's end is reported a moment before its thread is gone. */
    private static void join(Thread ended) {
        boolean interrupted = false;
        while (ended.isAlive()) {
            try {
                ended.join();
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    /** Work handed over by {@link #spawn}. */
    private static final class SpawnedWork extends PassItem {
        private final Runnable work;

        private SpawnedWork(Runnable work) {
            this.work = work;
        }

        @Override
        protected void run() {
            work.run();
        }

        @Override
        public void onFailure(Throwable failure) {
            LOG.error("spawned work failed", failure);
        }
    }

    /** Netty's loop, with passes of our own. */
    private final class Loop extends SingleThreadIoEventLoop {
        private static final long TASK_QUANTUM_NS = 1_000_000;

        private final IoHandlerContext context = new IoHandlerContext() {
            @Override
            public boolean canBlock() {
                slept = maySleep && !hasWork() && !hasTasks() && !hasScheduledTasks() && prepareToBlock();
                return slept;
            }

            @Override
            public long delayNanos(long currentTimeNanos) {
                return Loop.this.delayNanos(currentTimeNanos);
            }

            @Override
            public long deadlineNanos() {
                return Loop.this.deadlineNanos();
            }
        };

        private static final int PASSES_BETWEEN_TIMERS = 64;

        private int passesSinceTimers;
        private boolean maySleep = true;
        /** Whether the last look at descriptors and completions was one that could sleep. */
        private boolean slept;

        private Loop(java.util.concurrent.Executor executor, IoHandlerFactory ioHandlerFactory) {
            super(null, executor, ioHandlerFactory);
        }

        @Override
        protected void run() {
            ioHandler().initialize();
            runOwners();
            leavePool();
        }

        @Override
        protected int runIo() {
            slept = false; // Netty asks canBlock only when no completion is there.
            return ioHandler().run(context);
        }

        /** Ends the loop's sleep. Any thread. */
        private void wakeUpLoop() {
            wakeup(false);
        }

        /** As {@link #runIo}, without sleeping. */
        private void lookAtIo() {
            maySleep = false;
            runIo();
            maySleep = true;
        }

        /** Whether other threads want something. Timers are not asked: they wake the loop when it sleeps. */
        private boolean hasPostedTasks() {
            return hasTasks();
        }

        private void runTasks() {
            if (isShuttingDown()) {
                ioHandler().prepareToDestroy();
            }
            // A busy loop asks for due timers now and then only: it costs a look at the clock.
            if (hasTasks() || slept || (++passesSinceTimers & (PASSES_BETWEEN_TIMERS - 1)) == 0) {
                runAllTasks(TASK_QUANTUM_NS);
            }
            if (isShuttingDown()) {
                terminated = confirmShutdown();
            }
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.iothread;

import dev.vublk.blockdev.IoContext;
import dev.vublk.emulator.coroutine.CoroutineSource;
import dev.vublk.emulator.linux.CpuAffinity;
import dev.vublk.emulator.linux.EpollPoller;
import dev.vublk.emulator.linux.PollPoller;
import dev.vublk.emulator.trace.FlightRecording;
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
import java.util.Objects;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;
import org.jspecify.annotations.Nullable;

/**
 * One thread with one loop: a Netty loop (io_uring, epoll or poll) whose passes are those of a {@link PassLoop}.
 *
 * <p>Netty's own frames never suspend: its callbacks only mark work, which the pass then does.
 */
public final class IOThread extends PassLoop implements AutoCloseable {
    private static final Logger LOG = LogManager.getLogger(IOThread.class);

    /** Of Netty's ring, which watches descriptors and is woken by other threads. */
    private static final int RING_ENTRIES = 1024;

    /** Disk operations in flight per loop, on the loop's other ring. */
    static final int OPERATION_SLOTS = 1024;

    /**
     * A loop with disks on a ring of their own looks at descriptors after so many looks at the poll list, of which a pass counts
     * for {@link #SPINS_A_PASS}: each look may make garbage in Netty. Both arbitrary.
     */
    private static final int SPINS_BETWEEN_LOOKS = 2048;

    private static final int SPINS_A_PASS = SPINS_BETWEEN_LOOKS / 4;

    /** Looks at the poll list between two looks at the clock, and at the ring while operations are in flight. Arbitrary. */
    private static final int SPINS = 32;

    private static final int SPINS_WITH_IO = 4;

    private final IOThreadConfig config;
    private final CoroutineSource coroutines;
    private final FdMonitor fdMonitor;
    private final @Nullable UringOperations operations;
    private final AdaptivePoller poller;
    private final WorkerClient workers;
    private final LoopIoContext ioContext;
    private final AwakeLoops awakeLoops;
    private final Loop loop;

    private int spinsSinceLook;

    /** Written by whoever makes the loop run first. */
    private volatile @Nullable Thread thread;

    /**
     * Makes what the loop waits with, but starts no thread yet. Throws {@link IllegalStateException} when io_uring is wanted
     * and not to be had.
     *
     * @param config how the thread is to be
     */
    public IOThread(IOThreadConfig config, CoroutineSource.Maker coroutines, WorkerPool workers) {
        this(config, coroutines, workers, new AwakeLoops());
    }

    /**
     * As above, beside others.
     *
     * @param awakeLoops of all loops that share the processors
     */
    public IOThread(
            IOThreadConfig config, CoroutineSource.Maker coroutines, WorkerPool workers, AwakeLoops awakeLoops) {
        super(config.name());
        this.awakeLoops = awakeLoops;
        this.config = Objects.requireNonNull(config, "config");
        FdMonitorKind monitorKind = config.monitorKind();
        poller = new AdaptivePoller(config.polling(), this::schedule);
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
        this.coroutines = coroutines.newSource(loop, this::onCoroutineAvailable);
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
        Thread created = new Thread(task, name());
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
                operations
                        .signal()
                        .registeredAs(loop.register(operations.signal()).get());
                loop.submit(operations::start).get();
            }
            Future<?> _ = loop.scheduleWithFixedDelay(
                    coroutines::shrink, config.coroutineShrinkMs(), config.coroutineShrinkMs(), TimeUnit.MILLISECONDS);
            started = true;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted while starting " + name(), e);
        } catch (ExecutionException e) {
            Throwable cause = Objects.requireNonNullElse(e.getCause(), e);
            String reason = cause instanceof IllegalStateException ? cause.getMessage() : cause.toString();
            throw new IllegalStateException("cannot start " + name() + ": " + reason, cause);
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

    @Override
    CoroutineSource coroutines() {
        return coroutines;
    }

    @Override
    public IoContext ioContext() {
        return ioContext;
    }

    @Override
    FdMonitor fdMonitor() {
        return fdMonitor;
    }

    @Override
    public void pollWhileActive(PolledItem item) {
        poller.onActive(item);
    }

    @Override
    public void stopPolling(PolledItem item) {
        poller.remove(item);
    }

    /** How many items the loop polls now. On this thread only. */
    int polledItems() {
        return poller.count();
    }

    @Override
    public void execute(Runnable task) {
        loop.execute(task);
    }

    @Override
    public boolean inLoop() {
        return loop.inEventLoop();
    }

    @Override
    void beginPass() {
        loop.slept = false;
        if (poller.isEnabled() && !hasWork()) {
            pollOrSleep();
        } else {
            lookOrSleep();
        }
        loop.runTasks();
        workers.drainCompletions(Integer.MAX_VALUE);
    }

    /** Takes in what is there; sleeps when that is nothing and there is nothing else to do either. */
    private void lookOrSleep() {
        boolean busy = hasWork();
        if (busy) {
            poller.look();
        }
        if (operations != null) {
            operations.poll();
            if (busy && !isLookDue(SPINS_A_PASS)) {
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
        poller.beginWait(answered);
        answered = false;
        if (poller.pollNs() > 0 && foundByPolling(beginNs)) {
            return;
        }
        if (operations != null && !isLookDue(SPINS_A_PASS) && operations.pollForAnswersAtOnce()) {
            watchdog.begin(beginNs);
            return;
        }
        poller.end(beginNs);
        runIo();
        long awakeNs = System.nanoTime();
        watchdog.begin(awakeNs);
        if (loop.slept) {
            long pollNsBefore = poller.pollNs();
            poller.onWork(awakeNs - beginNs);
            if (poller.expectsRequests()) {
                poller.begin(); // Before answers are published: the driver's next request follows on their heels.
            }
            if (poller.pollNs() != pollNsBefore && FlightRecording.isOn() && PollModeEvent.isOn()) {
                PollModeEvent.record(name(), poller.pollNs(), poller.count());
            }
        }
    }

    @SuppressWarnings("ThreadPriorityCheck") // To yield is the point.
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
            if (awakeLoops.areCrowded()) {
                Thread.yield();
            }
            nowNs = System.nanoTime();
        } while (nowNs - beginNs < poller.pollNs());
        return false;
    }

    /** From here on the kernel and the workers wake the loop. Returns whether it may sleep. */
    private boolean prepareToBlock() {
        return (operations == null || operations.prepareToBlock()) && workers.prepareToBlock();
    }

    private void leavePool() {
        try {
            coroutines.close();
        } catch (IllegalStateException e) {
            LOG.error("{} ends in the middle of something: {}", name(), coroutines.dump(), e);
        }
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

    /** Netty's loop, with passes of our own. */
    private final class Loop extends SingleThreadIoEventLoop {
        private static final long TASK_QUANTUM_NS = 1_000_000;

        private final IoHandlerContext context = new IoHandlerContext() {
            @Override
            public boolean canBlock() {
                slept = maySleep && !hasWork() && !hasTasks() && !hasScheduledTasks() && prepareToBlock();
                if (slept) {
                    awakeLoops.sleep();
                }
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
            awakeLoops.wake();
            runOwners();
            awakeLoops.sleep();
            leavePool();
        }

        @Override
        protected int runIo() {
            slept = false; // Netty asks canBlock only when no completion is there.
            int handled = ioHandler().run(context);
            if (slept) {
                awakeLoops.wake();
            }
            return handled;
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

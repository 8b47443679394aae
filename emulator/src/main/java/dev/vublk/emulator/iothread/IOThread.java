// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.iothread;

import dev.vublk.blockdev.IoContext;
import dev.vublk.emulator.coroutine.Coroutine;
import dev.vublk.emulator.coroutine.CoroutineLoop;
import dev.vublk.emulator.coroutine.CoroutinePool;
import dev.vublk.emulator.coroutine.GlobalCoroutinePool;
import dev.vublk.emulator.linux.CpuAffinity;
import dev.vublk.emulator.worker.WorkerClient;
import dev.vublk.emulator.worker.WorkerPool;
import dev.vublk.vhostuser.linux.Errno;
import io.netty.channel.IoHandlerContext;
import io.netty.channel.IoHandlerFactory;
import io.netty.channel.SingleThreadIoEventLoop;
import io.netty.channel.uring.IoUringIoHandler;
import io.netty.channel.uring.IoUringIoHandlerConfig;
import io.netty.util.concurrent.ThreadPerTaskExecutor;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;
import org.jspecify.annotations.Nullable;

/**
 * One thread with one loop: a Netty io_uring loop whose passes run inside coroutines.
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

    /** Operations in flight per loop; the completion queue has twice as many entries as the ring. */
    private static final int RING_ENTRIES = 1024;

    private static final int OPERATION_SLOTS = RING_ENTRIES;

    private final String name;
    private final @Nullable CpuAffinity cpus;
    private final CoroutinePool coroutines;
    private final UringOperations operations;
    private final UringFdMonitor fdMonitor = new UringFdMonitor();
    private final WorkerClient workers;
    private final LoopIoContext ioContext;
    private final Loop loop;

    private final ArrayDeque<PassItem> items = new ArrayDeque<>();
    private final ArrayDeque<Coroutine> resumable = new ArrayDeque<>();
    /** Items that found no coroutine left; each is in here at most once a pass. */
    private final ArrayDeque<PassItem> starvedItems = new ArrayDeque<>();

    private final ArrayList<PassEndListener> passEndListeners = new ArrayList<>();

    /** The coroutine that runs the passes; null between two owners. */
    private @Nullable Coroutine owner;
    /** The coroutine that runs now. */
    private @Nullable Coroutine current;
    /** The item that the owner runs now. */
    private @Nullable PassItem currentItem;
    /** Items still to be run in this pass. */
    private int itemsLeft;

    private boolean terminated;

    /**
     * @param cpus processors the thread may run on, or null for all
     */
    public IOThread(String name, @Nullable CpuAffinity cpus, GlobalCoroutinePool coroutines, WorkerPool workers) {
        this.name = Objects.requireNonNull(name, "name");
        this.cpus = cpus;
        operations = new UringOperations(this, OPERATION_SLOTS);
        loop = new Loop(
                new ThreadPerTaskExecutor(task -> new Thread(task, name)),
                IoUringIoHandler.newFactory(new IoUringIoHandlerConfig().setRingSize(RING_ENTRIES)));
        this.coroutines = new CoroutinePool(coroutines, loop, this::onCoroutineAvailable);
        this.workers = workers.newClient(this);
        ioContext = new LoopIoContext(this, operations, this.workers);
    }

    /** Starts the thread; returns when it runs. Throws {@link IllegalStateException} when io_uring is not to be had. */
    public void start() {
        try {
            loop.submit(this::prepare).get();
            operations.registeredAs(loop.register(operations).get());
            fdMonitor.registeredAs(loop.register(fdMonitor).get());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted while starting " + name, e);
        } catch (java.util.concurrent.ExecutionException e) {
            throw new IllegalStateException("cannot start " + name + ": " + e.getCause(), e.getCause());
        }
    }

    private void prepare() {
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

    /** Watches {@code fd}; see {@link FdMonitor#watch}. Returns what ends the watch. On this thread only. */
    public Runnable watchReadable(int fd, Runnable onReadable) {
        return fdMonitor.watch(fd, FdMonitor.POLLIN, onReadable)::cancel;
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
            Coroutine next = takeCoroutine();
            owner = next;
            current = next;
            next.start(this::passes);
            current = null;
            releaseIfIdle(next);
        }
    }

    /** At the limit the loop itself still needs somebody to run it: work that asks {@link #canSuspend} does not. */
    private Coroutine takeCoroutine() {
        Coroutine pooled = coroutines.take();
        return pooled != null ? pooled : new Coroutine();
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
    private void passes() {
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
        loop.runIo();
        workers.onAwake();
        loop.runTasks();
        workers.drainCompletions(Integer.MAX_VALUE);
        resumeCoroutines();
        itemsLeft = items.size();
    }

    private void resumeCoroutines() {
        // Those that are woken meanwhile wait for the next pass, so that a pass is bounded.
        for (int left = resumable.size(); left > 0; left--) {
            Coroutine next = resumable.remove();
            Coroutine me = current;
            current = next;
            next.resume();
            current = me;
            releaseIfIdle(next);
        }
    }

    private void runItem(PassItem item) {
        item.queued = false;
        currentItem = item;
        try {
            item.run();
        } catch (Throwable t) {
            item.onFailure(t);
        }
        currentItem = null;
    }

    private void endPass() {
        for (int i = 0; i < passEndListeners.size(); i++) {
            passEndListeners.get(i).onPassEnd();
        }
        passEndListeners.clear();
    }

    private boolean hasWork() {
        return !items.isEmpty() || !resumable.isEmpty();
    }

    /** Coroutines that are suspended in the middle of something, with where they stand. On this thread only. */
    public String dumpCoroutines() {
        return coroutines.dump();
    }

    /** Stops the thread. Whoever uses it has stopped before; operations in flight are waited for. Any other thread. */
    @Override
    public void close() {
        loop.shutdownGracefully(0, 10, TimeUnit.SECONDS).awaitUninterruptibly();
        workers.close();
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
        protected void onFailure(Throwable failure) {
            LOG.error("spawned work failed", failure);
        }
    }

    /** Netty's loop, with passes of our own. */
    private final class Loop extends SingleThreadIoEventLoop {
        private static final long TASK_QUANTUM_NS = 1_000_000;

        private final IoHandlerContext context = new IoHandlerContext() {
            @Override
            public boolean canBlock() {
                // The workers last: from then on they wake the loop.
                return !hasWork() && !hasTasks() && !hasScheduledTasks() && workers.prepareToBlock();
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

        private Loop(java.util.concurrent.Executor executor, IoHandlerFactory ioHandlerFactory) {
            super(null, executor, ioHandlerFactory);
        }

        @Override
        protected void run() {
            ioHandler().initialize();
            runOwners();
        }

        @Override
        protected int runIo() {
            return ioHandler().run(context);
        }

        private void runTasks() {
            if (isShuttingDown()) {
                ioHandler().prepareToDestroy();
            }
            runAllTasks(TASK_QUANTUM_NS);
            if (isShuttingDown()) {
                terminated = confirmShutdown();
            }
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.worker;

import static dev.vublk.emulator.worker.WorkerPoolState.CLOSED;
import static dev.vublk.emulator.worker.WorkerPoolState.ONE_COMING;
import static dev.vublk.emulator.worker.WorkerPoolState.ONE_IDLE;
import static dev.vublk.emulator.worker.WorkerPoolState.ONE_THREAD;
import static dev.vublk.emulator.worker.WorkerPoolState.ONE_UNCLAIMED;
import static dev.vublk.emulator.worker.WorkerPoolState.coming;
import static dev.vublk.emulator.worker.WorkerPoolState.idle;
import static dev.vublk.emulator.worker.WorkerPoolState.isClosed;
import static dev.vublk.emulator.worker.WorkerPoolState.threads;
import static dev.vublk.emulator.worker.WorkerPoolState.unclaimed;
import static java.util.Objects.requireNonNull;

import dev.vublk.emulator.coroutine.CoroutineLoop;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import org.HdrHistogram.Histogram;
import org.HdrHistogram.Recorder;
import org.HdrHistogram.SingleWriterRecorder;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;
import org.jctools.queues.MpmcUnboundedXaddArrayQueue;

/**
 * Threads that run blocking calls for all loops, first come first served. Any thread; a loop uses it through its own
 * {@link WorkerClient}.
 *
 * <p>Made so that submitting never stalls a loop: there is no lock (all decisions are compare-and-sets on one
 * {@link WorkerPoolState}), and threads are created elsewhere ({@link WorkerSpawner}). A {@code ThreadPoolExecutor} does
 * neither: it creates threads in the submitter, which then also inherit the submitter's CPU affinity.
 */
public final class WorkerPool implements AutoCloseable {
    static final int EIO = 5;
    static final int ECANCELED = 125;

    /** Longer waits are recorded as this. Arbitrary: a guest has given up long before. */
    static final long LONGEST_RECORDED_NS = 100_000_000_000L;

    private static final Logger LOG = LogManager.getLogger(WorkerPool.class);

    /** Tasks that fit in one array of the queue; a few arrays are kept for reuse. Arbitrary. */
    private static final int CHUNK_SIZE = 256;

    private static final int CHUNKS_KEPT = 8;

    /** What a worker is to do next. */
    enum Next {
        TASK,
        IDLE,
        LEAVE
    }

    private final WorkerPoolConfig config;
    private final AtomicLong state = new AtomicLong();
    private final MpmcUnboundedXaddArrayQueue<WorkerTask> queue =
            new MpmcUnboundedXaddArrayQueue<>(CHUNK_SIZE, CHUNKS_KEPT);
    private final WorkerSlots slots;
    private final WorkerSpawner spawner;
    private final CountDownLatch minThreadsStarted;
    private final CountDownLatch allThreadsLeft = new CountDownLatch(1);

    private final AtomicInteger longestQueue = new AtomicInteger();
    private final Recorder spawns = new Recorder(1000, LONGEST_RECORDED_NS, 2);

    // Control plane only, guarded by "this": who uses the pool, and what is left of those who no longer do.
    private final List<WorkerClient> clients = new ArrayList<>();
    private final Histogram waitNs = new Histogram(1000, LONGEST_RECORDED_NS, 2);
    private final Histogram spawnNs = new Histogram(1000, LONGEST_RECORDED_NS, 2);
    private long submittedBefore;
    private long completedBefore;

    /** Makes a pool; its {@code minThreads} have started when this returns. */
    public WorkerPool(WorkerPoolConfig config) {
        this(config, threadFactory(config.name()));
    }

    WorkerPool(WorkerPoolConfig config, ThreadFactory threadFactory) {
        this.config = requireNonNull(config, "config");
        slots = new WorkerSlots(config.maxThreads());
        spawner = new WorkerSpawner(this, config.name(), threadFactory, config.affinity());
        int min = config.minThreads();
        minThreadsStarted = new CountDownLatch(min);
        state.set(min * (ONE_THREAD + ONE_COMING));
        int result = spawner.start();
        if (result < 0) {
            stopSpawner();
            throw new IllegalArgumentException(
                    "sched_setaffinity for workers on CPUs " + config.affinity() + ": errno " + -result);
        }
        spawner.request(min);
        awaitUninterruptibly(minThreadsStarted);
    }

    private static ThreadFactory threadFactory(String name) {
        // Daemons: a call that hangs in a dead disk must not keep the process from ending.
        return Thread.ofPlatform().daemon().name(name + "-", 0).factory();
    }

    static SingleWriterRecorder newWaitRecorder() {
        return new SingleWriterRecorder(1000, LONGEST_RECORDED_NS, 2);
    }

    /**
     * A client for a loop that calls {@link WorkerClient#drainCompletions} itself.
     *
     * @param wakeUp wakes the loop when it blocks; called by workers, once per {@link WorkerClient#prepareToBlock}
     */
    public WorkerClient newClient(Runnable wakeUp) {
        WorkerClient client = new WorkerClient(this, wakeUp);
        synchronized (this) {
            clients.add(client);
        }
        return client;
    }

    /** A client for a loop that knows nothing of it: completions are taken by a task on the loop, one for many. */
    public WorkerClient newClient(CoroutineLoop loop) {
        LoopDrain drain = new LoopDrain(loop);
        WorkerClient client = newClient(drain::post);
        drain.client = client;
        client.prepareToBlock();
        return client;
    }

    /** Takes completions whenever there are some. Parked means here: no task is posted. */
    private static final class LoopDrain implements Runnable {
        /** Completions taken by one task, so that the loop's other work gets its turn. Arbitrary. */
        private static final int BOUND = 256;

        private final CoroutineLoop loop;
        private WorkerClient client;

        @SuppressWarnings("NullAway.Init") // set before the first completion
        LoopDrain(CoroutineLoop loop) {
            this.loop = loop;
        }

        void post() {
            loop.execute(this);
        }

        @Override
        public void run() {
            try {
                client.drainCompletions(BOUND);
            } finally {
                // Also when a callback threw: else nobody would ever post again.
                if (!client.prepareToBlock()) {
                    post();
                }
            }
        }
    }

    synchronized void remove(WorkerClient client) {
        if (clients.remove(client)) {
            client.moveWaitsTo(waitNs);
            submittedBefore += client.submitted();
            completedBefore += client.completed();
        }
    }

    WorkerSlots slots() {
        return slots;
    }

    /** For tests of the invariant. */
    long state() {
        return state.get();
    }

    /** Queues a task and sees to it that a worker comes for it, if any can. Never blocks, creates no thread. */
    void enqueue(WorkerTask task) {
        // First into the queue, then into the count: whoever claims by the count finds something in the queue.
        queue.offer(task);
        while (true) {
            long before = state.get();
            if (isClosed(before)) {
                requireNonNull(task.client()).cancelQueued(task);
                return;
            }
            boolean needsAnother = unclaimed(before) >= coming(before);
            boolean wakes = needsAnother && idle(before) > 0;
            boolean spawns = needsAnother && !wakes && threads(before) < config.maxThreads();
            long after = before + ONE_UNCLAIMED;
            if (wakes) {
                after += ONE_COMING - ONE_IDLE;
            } else if (spawns) {
                after += ONE_COMING + ONE_THREAD;
            }
            if (state.compareAndSet(before, after)) {
                if (wakes) {
                    slots.wakeOne();
                } else if (spawns) {
                    spawner.request(1);
                }
                recordQueueLength(unclaimed(after));
                return;
            }
        }
    }

    private void recordQueueLength(int length) {
        if (length > longestQueue.getPlain()) {
            longestQueue.accumulateAndGet(length, Math::max);
        }
    }

    /** The first thing a new worker does. */
    void onStarted(long requestedNs) {
        spawns.recordValue(Math.clamp(System.nanoTime() - requestedNs, 0, LONGEST_RECORDED_NS));
        minThreadsStarted.countDown();
        spawner.onStarted();
    }

    /**
     * Decides what a worker does now.
     *
     * @param isComing whether it is counted as coming, because it has just started or been woken
     */
    Next findWork(Worker worker, boolean isComing) {
        while (true) {
            long before = state.get();
            long arrived = isComing ? before - ONE_COMING : before;
            if (unclaimed(before) > 0) {
                if (state.compareAndSet(before, arrived - ONE_UNCLAIMED)) {
                    return Next.TASK;
                }
            } else if (isClosed(before)) {
                if (state.compareAndSet(before, arrived - ONE_THREAD)) {
                    onThreadLeft(arrived - ONE_THREAD);
                    return Next.LEAVE;
                }
            } else {
                // The bit first, see WorkerSlots.wakeOne.
                slots.setParked(worker.slot());
                if (state.compareAndSet(before, arrived + ONE_IDLE)) {
                    return Next.IDLE;
                }
                withdraw(worker);
            }
        }
    }

    /** A worker does not park after all. If a waker has chosen it already, another is woken in its place. */
    void withdraw(Worker worker) {
        if (!slots.clearParked(worker.slot())) {
            slots.wakeOne();
        }
    }

    /** Parks an idle worker. Returns false when it is to leave because nothing came for long. */
    boolean awaitWakeUp(Worker worker) {
        long timeoutNs = config.idleTimeoutMs() * 1_000_000;
        long deadlineNs = System.nanoTime() + timeoutNs;
        while (slots.isParked(worker.slot())) {
            if (threads(state.get()) <= config.minThreads()) {
                // Should there be more threads later, those leave, not this one: no need to wake up again and again.
                LockSupport.park(this);
                continue;
            }
            long leftNs = deadlineNs - System.nanoTime();
            if (leftNs > 0) {
                LockSupport.parkNanos(this, leftNs);
            } else if (tryLeaveIdle(worker)) {
                return false;
            } else {
                deadlineNs += timeoutNs;
            }
        }
        return true;
    }

    private boolean tryLeaveIdle(Worker worker) {
        if (!tryUncountIdle()) {
            return false;
        }
        withdraw(worker);
        onThreadLeft(state.get());
        return true;
    }

    /** Takes one idle worker out of the count, if one may leave. */
    boolean tryUncountIdle() {
        while (true) {
            long before = state.get();
            // Nobody idle: a waker has counted this one out and is about to wake it.
            if (threads(before) <= config.minThreads() || idle(before) == 0) {
                return false;
            }
            if (state.compareAndSet(before, before - ONE_IDLE - ONE_THREAD)) {
                return true;
            }
        }
    }

    /** Ends the waiting of {@link #close} when {@code after} says that no thread is left. */
    private void onThreadLeft(long after) {
        if (isClosed(after) && threads(after) == 0) {
            allThreadsLeft.countDown();
        }
    }

    /**
     * Takes one worker that has not been created yet out of the count, when more are coming than there are tasks. Only
     * for whoever was about to create it.
     */
    boolean tryUncountSurplus() {
        while (true) {
            long before = state.get();
            boolean isWanted = threads(before) <= config.minThreads() && !isClosed(before);
            if (isWanted || coming(before) <= unclaimed(before)) {
                return false;
            }
            long after = before - ONE_COMING - ONE_THREAD;
            if (state.compareAndSet(before, after)) {
                onThreadLeft(after);
                return true;
            }
        }
    }

    /** Runs the task that the calling worker has claimed. */
    void runOneTask() {
        WorkerTask task = queue.poll();
        if (task == null) {
            if (!isClosed(state.get())) {
                throw new IllegalStateException("claimed a task that is not in the queue");
            }
            // close() took it between the claim and here.
            return;
        }
        // Not when it was cancelled. Should it have been submitted again since, this runs it early, and the entry of
        // the
        // second submission will find nothing to run.
        if (task.tryStart(System.nanoTime())) {
            requireNonNull(task.client()).onRun(task, call(task));
        }
    }

    private static int call(WorkerTask task) {
        try {
            return task.run();
        } catch (Throwable e) {
            LOG.error("a blocking call failed unexpectedly", e);
            return -EIO;
        } finally {
            // An interrupt meant for one task must not reach the next, nor keep an idle worker from parking.
            Thread.interrupted();
        }
    }

    /** What the pool did up to now. */
    public synchronized WorkerPoolStats stats() {
        long submitted = submittedBefore;
        long completed = completedBefore;
        for (WorkerClient client : clients) {
            client.moveWaitsTo(waitNs);
            completed += client.completed();
            submitted += client.submitted();
        }
        spawnNs.add(spawns.getIntervalHistogram());
        long now = state.get();
        return new WorkerPoolStats(
                threads(now),
                idle(now),
                unclaimed(now),
                submitted,
                completed,
                spawner.created(),
                longestQueue.get(),
                waitNs.copy(),
                spawnNs.copy());
    }

    /** As {@link #close(boolean)}, cancelling what is queued. */
    @Override
    public void close() {
        close(false);
    }

    /**
     * Ends all threads and waits for that; calls that run are waited for. Clients still take their completions
     * afterwards.
     *
     * @param finishesQueued whether queued tasks run first; else they complete with {@code -ECANCELED}
     */
    public void close(boolean finishesQueued) {
        while (true) {
            long before = state.get();
            if (isClosed(before)) {
                break;
            }
            // All idle ones shall come and, when they find no task, leave.
            int woken = idle(before);
            long after = (before | CLOSED) + woken * (ONE_COMING - ONE_IDLE);
            if (!finishesQueued) {
                after = WorkerPoolState.withoutUnclaimed(after);
            }
            if (state.compareAndSet(before, after)) {
                for (int i = 0; i < woken; i++) {
                    slots.wakeOne();
                }
                onThreadLeft(after);
                break;
            }
        }
        if (!finishesQueued) {
            cancelAllQueued();
        }
        awaitUninterruptibly(allThreadsLeft);
        stopSpawner();
    }

    private void cancelAllQueued() {
        // Whatever enters the queue after this its submitter cancels, because it then sees CLOSED.
        for (WorkerTask task = queue.poll(); task != null; task = queue.poll()) {
            requireNonNull(task.client()).cancelQueued(task);
        }
    }

    private void stopSpawner() {
        boolean isInterrupted = false;
        while (true) {
            try {
                slots.join();
                spawner.stop();
                break;
            } catch (InterruptedException e) {
                isInterrupted = true;
            }
        }
        if (isInterrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private static void awaitUninterruptibly(CountDownLatch latch) {
        boolean isInterrupted = false;
        while (true) {
            try {
                latch.await();
                break;
            } catch (InterruptedException e) {
                isInterrupted = true;
            }
        }
        if (isInterrupted) {
            Thread.currentThread().interrupt();
        }
    }

    @Override
    public String toString() {
        return config.name() + ": " + WorkerPoolState.describe(state.get());
    }
}

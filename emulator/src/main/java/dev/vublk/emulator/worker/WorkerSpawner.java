// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.worker;

import static java.util.Objects.requireNonNull;

import dev.vublk.emulator.linux.CpuAffinity;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;
import org.jspecify.annotations.Nullable;

/**
 * Creates a pool's threads, never on a thread that submits.
 *
 * <p>A thread takes tens of microseconds to create, and inherits the CPU affinity of its creator. So a submitter only
 * counts up the backlog; the spawner's own thread, which has the pool's affinity, works the backlog off, and each worker
 * that starts creates one more before it takes a task. Thus a burst costs the submitter nothing, and the creation of many
 * workers is spread over those that run already. QEMU has the chain alone; but there each worker must be scheduled
 * before the next can be created, and on a busy machine those waits add up. No lock is held anywhere.
 */
final class WorkerSpawner implements Runnable {
    private static final Logger LOG = LogManager.getLogger(WorkerSpawner.class);

    /** How long to wait when the system refuses a thread. Arbitrary: long against creating one, short for a guest. */
    private static final long RETRY_NS = 10_000_000;

    private final WorkerPool pool;
    private final ThreadFactory threads;
    private final @Nullable CpuAffinity affinity;
    private final Thread thread;
    private final CompletableFuture<Integer> affinityResult = new CompletableFuture<>();

    /** Workers that are counted in the pool's state and that nobody has begun to create. */
    private final AtomicInteger backlog = new AtomicInteger();

    private final AtomicLong created = new AtomicLong();
    private volatile boolean refused;
    private volatile boolean stopped;

    WorkerSpawner(WorkerPool pool, String name, ThreadFactory threads, @Nullable CpuAffinity affinity) {
        this.pool = pool;
        this.threads = threads;
        this.affinity = affinity;
        thread = Thread.ofPlatform().daemon().name(name + "-spawner").unstarted(this);
    }

    /** Starts the spawner's thread and returns when it has the pool's affinity: 0, or a negative errno. */
    int start() {
        thread.start();
        return affinityResult.join();
    }

    /** Asks for {@code count} more workers, which the caller has counted in the pool's state. Never blocks. */
    void request(int count) {
        // Above 0 the spawner is awake: it parks only after it has seen 0.
        if (backlog.getAndAdd(count) == 0) {
            LockSupport.unpark(thread);
        }
    }

    long created() {
        return created.get();
    }

    @Override
    public void run() {
        try {
            affinityResult.complete(affinity == null ? 0 : affinity.applyToCallingThread());
        } catch (Throwable e) {
            // Reaches whoever makes the pool.
            affinityResult.completeExceptionally(e);
            return;
        }
        while (!stopped) {
            if (refused) {
                pause();
            }
            if (!createOne()) {
                LockSupport.park(this);
            }
        }
    }

    /** Lets the time between two attempts pass; a wake-up that comes meanwhile does not shorten it. */
    private void pause() {
        long untilNs = System.nanoTime() + RETRY_NS;
        for (long leftNs = RETRY_NS; leftNs > 0 && !stopped; leftNs = untilNs - System.nanoTime()) {
            LockSupport.parkNanos(this, leftNs);
        }
    }

    /** A worker has started: the next one in the chain. */
    void onStarted() {
        createOne();
    }

    /** Creates one worker of the backlog. Returns false when nothing is left of it. */
    private boolean createOne() {
        do {
            if (!claimOne()) {
                return false;
            }
            // Workers that became free meanwhile may have taken the task that this one was meant for.
        } while (pool.tryUncountSurplus());
        create();
        return true;
    }

    private boolean claimOne() {
        int now = backlog.get();
        while (now > 0) {
            int seen = backlog.compareAndExchange(now, now - 1);
            if (seen == now) {
                return true;
            }
            now = seen;
        }
        return false;
    }

    private void create() {
        Worker worker = new Worker(pool, System.nanoTime());
        int slot = pool.slots().enter(worker);
        try {
            Thread workerThread = requireNonNull(threads.newThread(worker), "the thread factory gave no thread");
            worker.place(slot, workerThread);
            // Counted before the start: the worker may run, and be looked for, before start() returns.
            created.incrementAndGet();
            workerThread.start();
            refused = false;
        } catch (OutOfMemoryError | RuntimeException e) {
            // "unable to create native thread": a limit on processes or on memory. Its tasks go on waiting.
            created.decrementAndGet();
            pool.slots().clear(slot);
            if (!refused) {
                LOG.warn("cannot create a worker thread, trying again every {} ms", RETRY_NS / 1_000_000, e);
            }
            refused = true;
            request(1);
        }
    }

    /** Ends the spawner's thread; nobody requests any more. */
    void stop() throws InterruptedException {
        stopped = true;
        LockSupport.unpark(thread);
        thread.join();
    }
}

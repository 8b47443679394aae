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
 * Creates a pool's threads, one at a time and never on a thread that submits.
 *
 * <p>A thread takes tens of microseconds to create, and inherits the CPU affinity of its creator. So a submitter only
 * counts up the backlog; the spawner's own thread, which has the pool's affinity, creates the first worker, and each
 * worker that starts creates the next one before it takes a task. Thus a burst costs the submitter nothing, and the
 * creation of many workers is spread over those that run already. No lock is held anywhere.
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

    /**
     * Workers to be created, the one being created included. Whoever raises it from 0 starts the chain by {@link
     * #requested}; while it is above 0 exactly one thread has the chain: the spawner, or the worker created last.
     */
    private final AtomicInteger backlog = new AtomicInteger();

    private final AtomicLong created = new AtomicLong();
    private volatile boolean requested;
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

    /** Asks for one more worker, which the caller has counted in the pool's state. Never blocks. */
    void request() {
        if (backlog.getAndIncrement() == 0) {
            pass();
        }
    }

    /** As many requests at once. */
    void request(int count) {
        if (count > 0 && backlog.getAndAdd(count) == 0) {
            pass();
        }
    }

    /** Gives the chain to the spawner's thread. */
    private void pass() {
        requested = true;
        LockSupport.unpark(thread);
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
            if (requested) {
                requested = false;
                if (refused) {
                    pause();
                }
                createNext();
            } else {
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

    /** A worker has started; it has the chain. */
    void onStarted() {
        if (backlog.decrementAndGet() > 0) {
            createNext();
        }
    }

    private void createNext() {
        // Workers that became free meanwhile may have taken the tasks that the rest of the backlog was meant for.
        while (pool.tryUncountSurplus()) {
            if (backlog.decrementAndGet() == 0) {
                return;
            }
        }
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
            pass();
        }
    }

    /** Ends the spawner's thread; nobody requests any more. */
    void stop() throws InterruptedException {
        stopped = true;
        LockSupport.unpark(thread);
        thread.join();
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import dev.vublk.emulator.linux.CpuAffinity;
import dev.vublk.emulator.worker.WorkerClient;
import dev.vublk.emulator.worker.WorkerPool;
import dev.vublk.emulator.worker.WorkerPoolConfig;
import dev.vublk.emulator.worker.WorkerTask;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Locale;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import org.HdrHistogram.Histogram;
import org.jspecify.annotations.Nullable;

/**
 * A burst of blocking calls on a cold pool: what each submission costs the loop, and how long the loop stands still at
 * the longest.
 *
 * <p>The loop is a thread pinned to one CPU, as IOThreads and vCPUs are, that does nothing but ticking; a stall is the
 * time between two ticks. In one tick it submits the whole burst, as an IOThread does that finds many requests in a
 * virtqueue. Three pools: this
 * project's; one that creates threads in the submitter under its lock, as {@code posix-aio-compat} did at first; and the
 * JDK's {@code ThreadPoolExecutor}. A stall is the pool's fault as far as the loop did not merely wait for its CPU, which
 * the kernel gave to somebody else, a worker for one. The first line is the loop that ticks alone: what the machine itself does to it.
 * Arguments: rounds.
 */
public final class WorkerBurstBench {
    private static final int MAX_THREADS = 64;
    private static final long CALL_NS = 2_000_000;
    private static final int WARM_UP_ROUNDS = 5;

    /** A pool under test, cold. */
    private interface Subject {
        void submit(Runnable call);

        void end() throws InterruptedException;
    }

    private static final class Ours implements Subject {
        private final WorkerPool pool;
        private final WorkerClient client;

        private Ours(int minThreads, CpuAffinity cpus) {
            pool = new WorkerPool(WorkerPoolConfig.DEFAULT
                    .withThreads(minThreads, MAX_THREADS)
                    .withAffinity(cpus));
            client = pool.newClient(() -> {});
        }

        @Override
        public void submit(Runnable call) {
            client.submit(new WorkerTask() {
                @Override
                protected int run() {
                    call.run();
                    return 0;
                }

                @Override
                protected void onComplete(int taskResult) {
                    // the bench counts by itself
                }
            });
        }

        @Override
        public void end() {
            pool.close(true);
        }
    }

    /** Creates a thread in the submitter, under the lock, whenever nobody is idle. */
    private static final class Naive implements Subject {
        private final ArrayDeque<Runnable> queue = new ArrayDeque<>();
        private final ArrayDeque<Thread> threads = new ArrayDeque<>();
        private int idle;
        private boolean closed;

        @Override
        public synchronized void submit(Runnable call) {
            if (idle == 0 && threads.size() < MAX_THREADS) {
                threads.add(Thread.ofPlatform().daemon().start(this::work));
            }
            queue.add(call);
            notify();
        }

        private void work() {
            for (Runnable call = next(); call != null; call = next()) {
                call.run();
            }
        }

        private synchronized @Nullable Runnable next() {
            idle++;
            try {
                while (queue.isEmpty() && !closed) {
                    wait();
                }
            } catch (InterruptedException e) {
                throw new IllegalStateException(e);
            } finally {
                idle--;
            }
            return queue.poll();
        }

        @Override
        public void end() throws InterruptedException {
            synchronized (this) {
                closed = true;
                notifyAll();
            }
            for (Thread thread : threads) {
                thread.join();
            }
        }
    }

    private static final class Jdk implements Subject {
        private final ThreadPoolExecutor executor =
                new ThreadPoolExecutor(MAX_THREADS, MAX_THREADS, 10, TimeUnit.SECONDS, new LinkedBlockingQueue<>());

        @Override
        public void submit(Runnable call) {
            executor.execute(call);
        }

        @Override
        public void end() throws InterruptedException {
            executor.shutdown();
            executor.awaitTermination(1, TimeUnit.MINUTES);
        }
    }

    /** No pool at all: the calls end by themselves, without having run. */
    private static final class Nothing implements Subject {
        @Override
        public void submit(Runnable call) {
            // not even queued
        }

        @Override
        public void end() {
            // nothing to end
        }
    }

    /** Makes a cold pool. */
    private interface Factory {
        Subject create();
    }

    private final Histogram submitNs = new Histogram(3);
    private final Histogram burstNs = new Histogram(3);
    private final Histogram runDelayNs = new Histogram(3);
    private final Histogram stallNs = new Histogram(3);
    private final Histogram allRunningNs = new Histogram(3);

    private WorkerBurstBench() {}

    /** On a thread that is pinned. */
    private void run(Factory factory, int burst, int rounds) throws InterruptedException {
        for (int round = -WARM_UP_ROUNDS; round < rounds; round++) {
            if (round == 0) {
                submitNs.reset();
                burstNs.reset();
                runDelayNs.reset();
                stallNs.reset();
                allRunningNs.reset();
            }
            Subject subject = factory.create();
            tick(subject, burst);
            subject.end();
        }
    }

    private void tick(Subject subject, int burst) {
        AtomicInteger started = new AtomicInteger();
        AtomicInteger ended = new AtomicInteger();
        Runnable call = () -> {
            started.incrementAndGet();
            long endNs = System.nanoTime() + CALL_NS;
            for (long leftNs = CALL_NS; leftNs > 0; leftNs = endNs - System.nanoTime()) {
                LockSupport.parkNanos(leftNs);
            }
            ended.incrementAndGet();
        };
        int concurrent = Math.min(burst, MAX_THREADS);
        long delayBeforeNs = runDelayNs();
        long longestNs = 0;
        long beginNs = System.nanoTime();
        long lastNs = beginNs;
        boolean allRunning = false;
        for (int i = 0; i < burst; i++) {
            long beforeNs = System.nanoTime();
            subject.submit(call);
            submitNs.recordValue(System.nanoTime() - beforeNs);
        }
        burstNs.recordValue(System.nanoTime() - beginNs);
        long quietEndNs = beginNs + (burst / concurrent + 1) * CALL_NS;
        while (subject instanceof Nothing ? lastNs < quietEndNs : ended.get() < burst) {
            long nowNs = System.nanoTime();
            longestNs = Math.max(longestNs, nowNs - lastNs);
            lastNs = nowNs;
            if (!allRunning && started.get() >= concurrent) {
                allRunning = true;
                allRunningNs.recordValue(nowNs - beginNs);
            }
        }
        stallNs.recordValue(longestNs);
        runDelayNs.recordValue(runDelayNs() - delayBeforeNs);
    }

    /** How long the calling thread was ready to run and did not: the second field of {@code schedstat}. */
    private static long runDelayNs() {
        try {
            String text = Files.readString(Path.of("/proc/thread-self/schedstat"));
            return Long.parseLong(text.split(" ", -1)[1]);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private String result() {
        return String.format(
                Locale.ROOT,
                "submit us p50 %6.1f  p99 %7.1f  max %8.1f | submitting tick us, median %8.1f  max %8.1f"
                        + " | longest stall us, median %8.1f, all waiting for the CPU %8.1f"
                        + " | all running after us, median %8.1f",
                submitNs.getValueAtPercentile(50) / 1e3,
                submitNs.getValueAtPercentile(99) / 1e3,
                submitNs.getMaxValue() / 1e3,
                burstNs.getValueAtPercentile(50) / 1e3,
                burstNs.getMaxValue() / 1e3,
                stallNs.getValueAtPercentile(50) / 1e3,
                runDelayNs.getValueAtPercentile(50) / 1e3,
                allRunningNs.getValueAtPercentile(50) / 1e3);
    }

    /** Prints one line a pool and burst. */
    public static void main(String[] args) throws Exception {
        int rounds = args.length > 0 ? Integer.parseInt(args[0]) : 30;
        CpuAffinity all = CpuAffinity.ofCallingThread();
        System.out.println("loop pinned to CPU " + all.first() + ", process on " + all + ", " + rounds
                + " rounds, calls of " + CALL_NS / 1_000_000 + " ms, at most " + MAX_THREADS + " threads");
        CpuAffinity others = all.without(all.first());
        // A thread of its own: pinning the main thread would pin what the JVM creates from there, too.
        Thread loop = Thread.ofPlatform().name("loop").start(() -> {
            CpuAffinity.of(all.first()).applyToCallingThread();
            try {
                for (int burst : new int[] {64, 512}) {
                    report("no pool", burst, rounds, Nothing::new);
                    report("vublk", burst, rounds, () -> new Ours(0, all));
                    report("vublk, other CPUs", burst, rounds, () -> new Ours(0, others));
                    report("vublk, min = max", burst, rounds, () -> new Ours(MAX_THREADS, others));
                    report("naive", burst, rounds, Naive::new);
                    report("ThreadPoolExecutor", burst, rounds, Jdk::new);
                }
            } catch (InterruptedException e) {
                throw new IllegalStateException(e);
            }
        });
        loop.join();
    }

    private static void report(String name, int burst, int rounds, Factory factory) throws InterruptedException {
        WorkerBurstBench bench = new WorkerBurstBench();
        bench.run(factory, burst, rounds);
        System.out.printf(Locale.ROOT, "burst %4d  %-18s %s%n", burst, name, bench.result());
    }
}

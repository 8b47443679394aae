// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import static java.util.Objects.requireNonNull;

import com.sun.management.ThreadMXBean;
import dev.vublk.emulator.coroutine.Coroutine;
import dev.vublk.emulator.coroutine.CoroutineSource;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.CyclicBarrier;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * The designs of {@link PoolDesign} side by side, without a disk. Two threads; on each, {@code depth} requests start,
 * wait, and end, again and again. Arguments: milliseconds a measurement.
 */
public final class CoroutinePoolBench {
    private static final int THREADS = 2;
    private static final Runnable REQUEST = Coroutine::suspend;

    /** What one thread did in the measured time. */
    private record Result(long requests, long created, long bytes, long cpuNs) {}

    private static final class Job implements Runnable {
        private final CoroutineSource source;
        private final Supplier<ComparedPools.Counts> counts;
        private final int depth;
        private final long durationNs;
        private final CyclicBarrier start;

        @Nullable
        Result result;

        private Job(
                CoroutineSource source,
                Supplier<ComparedPools.Counts> counts,
                int depth,
                long durationNs,
                CyclicBarrier start) {
            this.source = source;
            this.counts = counts;
            this.depth = depth;
            this.durationNs = durationNs;
            this.start = start;
        }

        @Override
        public void run() {
            ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
            Coroutine[] inFlight = new Coroutine[depth];
            try {
                work(inFlight, durationNs);
                start.await();
            } catch (Exception e) {
                throw new IllegalStateException(e);
            }
            source.shrink();
            long createdBefore = counts.get().created();
            long bytesBefore = threads.getCurrentThreadAllocatedBytes();
            long cpuBefore = threads.getCurrentThreadCpuTime();
            long requests = work(inFlight, durationNs);
            long cpuNs = threads.getCurrentThreadCpuTime() - cpuBefore;
            long bytes = threads.getCurrentThreadAllocatedBytes() - bytesBefore;
            source.shrink();
            result = new Result(requests, counts.get().created() - createdBefore, bytes, cpuNs);
        }

        private long work(Coroutine[] inFlight, long forNs) {
            long requests = 0;
            for (long endNs = System.nanoTime() + forNs; System.nanoTime() < endNs; ) {
                for (int k = 0; k < 4096; k += depth) {
                    for (int i = 0; i < depth; i++) {
                        inFlight[i] = requireNonNull(source.take());
                        inFlight[i].start(REQUEST);
                    }
                    for (int i = 0; i < depth; i++) {
                        inFlight[i].resume();
                        source.release(inFlight[i]);
                    }
                    requests += depth;
                }
            }
            return requests;
        }
    }

    private CoroutinePoolBench() {}

    /** Prints one line a design and depth. */
    public static void main(String[] args) throws InterruptedException {
        long durationNs = (args.length > 0 ? Long.parseLong(args[0]) : 1000) * 1_000_000;
        System.out.println(THREADS + " threads; ns = CPU time a request, two switches included");
        for (int depth : new int[] {1, 64, 1024}) {
            for (PoolDesign design : PoolDesign.values()) {
                report(design, depth, durationNs);
            }
        }
    }

    private static void report(PoolDesign design, int depth, long durationNs) throws InterruptedException {
        ComparedPools pools = new ComparedPools(design);
        CyclicBarrier start = new CyclicBarrier(THREADS);
        List<Job> jobs = new ArrayList<>();
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < THREADS; i++) {
            int thread = i;
            CoroutineSource source = pools.newSource(Runnable::run, () -> {});
            Job job = new Job(source, () -> pools.counts().get(thread), depth, durationNs, start);
            jobs.add(job);
            threads.add(Thread.ofPlatform().start(job));
        }
        for (Thread thread : threads) {
            thread.join();
        }
        Result sum = new Result(0, 0, 0, 0);
        for (Job job : jobs) {
            Result one = requireNonNull(job.result);
            sum = new Result(
                    sum.requests + one.requests,
                    sum.created + one.created,
                    sum.bytes + one.bytes,
                    sum.cpuNs + one.cpuNs);
        }
        System.out.printf(
                Locale.ROOT,
                "depth %4d  %-18s %6.1f ns  %8.5f creations  %6.1f bytes a request%n",
                depth,
                design.label(),
                (double) sum.cpuNs / sum.requests,
                (double) sum.created / sum.requests,
                (double) sum.bytes / sum.requests);
    }
}

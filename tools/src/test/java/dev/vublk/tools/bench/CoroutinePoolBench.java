// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import static java.util.Objects.requireNonNull;

import com.sun.management.ThreadMXBean;
import dev.vublk.emulator.coroutine.Coroutine;
import dev.vublk.emulator.coroutine.CoroutinePool;
import dev.vublk.emulator.coroutine.GlobalCoroutinePool;
import java.lang.management.ManagementFactory;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.CyclicBarrier;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Designs of coroutine pools side by side: none, QEMU's fixed limits (64 a thread, 128 shared), QEMU's unbounded pool a
 * thread with periodic resizing (2021), and this project's batches. Two threads; on each, {@code depth} requests start,
 * wait, and end, again and again. Arguments: milliseconds a measurement.
 */
public final class CoroutinePoolBench {
    private static final int THREADS = 2;
    private static final Runnable REQUEST = Coroutine::suspend;

    /** One thread's view of a design. */
    private abstract static class Design {
        long created;

        abstract Coroutine take();

        abstract void release(Coroutine coroutine);

        /** A period has passed. */
        void shrink() {}

        final Coroutine create() {
            created++;
            return new Coroutine();
        }
    }

    private static final class NoPool extends Design {
        @Override
        Coroutine take() {
            return create();
        }

        @Override
        void release(Coroutine coroutine) {
            // garbage
        }
    }

    /** As QEMU until 2021: a released coroutine goes to the shared list first, which a thread takes as a whole. */
    private static final class Fixed extends Design {
        private static final int LOCAL_MAX = 64;
        private static final int SHARED_MAX = 128;

        private static final class Shared {
            private ArrayDeque<Coroutine> list = new ArrayDeque<>();

            synchronized boolean offer(Coroutine coroutine) {
                return list.size() < SHARED_MAX && list.add(coroutine);
            }

            synchronized ArrayDeque<Coroutine> swap(ArrayDeque<Coroutine> emptied) {
                if (list.size() < LOCAL_MAX) {
                    return emptied;
                }
                ArrayDeque<Coroutine> taken = list;
                list = emptied;
                return taken;
            }
        }

        private final Shared shared;
        private ArrayDeque<Coroutine> local = new ArrayDeque<>();

        private Fixed(Shared shared) {
            this.shared = shared;
        }

        @Override
        Coroutine take() {
            if (local.isEmpty()) {
                local = shared.swap(local);
            }
            Coroutine coroutine = local.pollLast();
            return coroutine == null ? create() : coroutine;
        }

        @Override
        void release(Coroutine coroutine) {
            if (!shared.offer(coroutine) && local.size() < LOCAL_MAX) {
                local.addLast(coroutine);
            }
        }
    }

    private static final class Resized extends Design {
        private final ArrayDeque<Coroutine> pool = new ArrayDeque<>();
        private int alive;
        private int peak;

        @Override
        Coroutine take() {
            alive++;
            peak = Math.max(peak, alive);
            Coroutine coroutine = pool.pollLast();
            return coroutine == null ? create() : coroutine;
        }

        @Override
        void release(Coroutine coroutine) {
            alive--;
            pool.addLast(coroutine);
        }

        @Override
        void shrink() {
            int keep = Math.max(64, peak) - alive;
            peak = alive;
            while (pool.size() > keep) {
                pool.removeFirst();
            }
        }
    }

    private static final class Batches extends Design {
        private final CoroutinePool pool;

        private Batches(GlobalCoroutinePool global) {
            pool = new CoroutinePool(global, Runnable::run, () -> {});
        }

        @Override
        Coroutine take() {
            return requireNonNull(pool.take());
        }

        @Override
        void release(Coroutine coroutine) {
            pool.release(coroutine);
        }

        @Override
        void shrink() {
            pool.shrink();
            created = pool.created();
        }
    }

    /** What one thread did in the measured time. */
    private record Result(long requests, long created, long bytes, long cpuNs) {}

    private static final class Job implements Runnable {
        private final Design design;
        private final int depth;
        private final long durationNs;
        private final CyclicBarrier start;

        @Nullable
        Result result;

        private Job(Design design, int depth, long durationNs, CyclicBarrier start) {
            this.design = design;
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
            design.shrink();
            long createdBefore = design.created;
            long bytesBefore = threads.getCurrentThreadAllocatedBytes();
            long cpuBefore = threads.getCurrentThreadCpuTime();
            long requests = work(inFlight, durationNs);
            long cpuNs = threads.getCurrentThreadCpuTime() - cpuBefore;
            long bytes = threads.getCurrentThreadAllocatedBytes() - bytesBefore;
            design.shrink();
            result = new Result(requests, design.created - createdBefore, bytes, cpuNs);
        }

        private long work(Coroutine[] inFlight, long forNs) {
            long requests = 0;
            for (long endNs = System.nanoTime() + forNs; System.nanoTime() < endNs; ) {
                for (int k = 0; k < 4096; k += depth) {
                    for (int i = 0; i < depth; i++) {
                        inFlight[i] = design.take();
                        inFlight[i].start(REQUEST);
                    }
                    for (int i = 0; i < depth; i++) {
                        inFlight[i].resume();
                        design.release(inFlight[i]);
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
            Fixed.Shared shared = new Fixed.Shared();
            GlobalCoroutinePool global = new GlobalCoroutinePool(GlobalCoroutinePool.DEFAULT_BATCH_SIZE, 16_384);
            report("no pool", depth, durationNs, NoPool::new);
            report("fixed 64 + 128", depth, durationNs, () -> new Fixed(shared));
            report("unbounded, resized", depth, durationNs, Resized::new);
            report("vublk", depth, durationNs, () -> new Batches(global));
        }
    }

    private static void report(String name, int depth, long durationNs, Supplier<Design> designs)
            throws InterruptedException {
        CyclicBarrier start = new CyclicBarrier(THREADS);
        List<Job> jobs = new ArrayList<>();
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < THREADS; i++) {
            Job job = new Job(designs.get(), depth, durationNs, start);
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
                name,
                (double) sum.cpuNs / sum.requests,
                (double) sum.created / sum.requests,
                (double) sum.bytes / sum.requests);
    }
}

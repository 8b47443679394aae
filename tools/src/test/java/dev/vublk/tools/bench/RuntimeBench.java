// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import static java.util.Objects.requireNonNull;

import dev.vublk.emulator.coroutine.Coroutine;
import dev.vublk.emulator.coroutine.CoroutinePool;
import dev.vublk.emulator.coroutine.GlobalCoroutinePool;
import dev.vublk.emulator.worker.WorkerClient;
import dev.vublk.emulator.worker.WorkerPool;
import dev.vublk.emulator.worker.WorkerPoolConfig;
import dev.vublk.emulator.worker.WorkerTask;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;
import org.openjdk.jmh.profile.GCProfiler;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.OptionsBuilder;

/** What one coroutine from the pool, one switch and one hand-off to a worker cost. */
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 3, time = 1)
@Fork(1)
public class RuntimeBench {

    /** Coroutines are taken and released {@code depth} at a time: 1 stays in one batch, 1024 goes to the global pool. */
    @State(Scope.Thread)
    public static class Pool {
        @Param({"1", "1024"})
        int depth;

        final CoroutinePool pool = new CoroutinePool(new GlobalCoroutinePool(128, 4096), Runnable::run, () -> {});
        Coroutine[] taken = {};

        @Setup
        public void prepare() {
            taken = new Coroutine[depth];
        }
    }

    /** A coroutine that suspends again and again. */
    @State(Scope.Thread)
    public static class Suspended {
        final Coroutine coroutine = new Coroutine();

        @Setup
        public void prepare() {
            coroutine.start(() -> {
                while (true) {
                    Coroutine.suspend();
                }
            });
        }
    }

    /** A pool whose loop never blocks, with {@code depth} calls in flight. */
    @State(Scope.Thread)
    public static class Workers {
        @Param({"1", "16"})
        int depth;

        final WorkerPool pool = new WorkerPool(WorkerPoolConfig.DEFAULT.withThreads(1, 1));
        final WorkerClient client = pool.newClient(() -> {});
        WorkerTask[] tasks = {};

        @Setup
        public void prepare() {
            tasks = new WorkerTask[depth];
            for (int i = 0; i < depth; i++) {
                tasks[i] = new NoopTask();
            }
        }

        @TearDown(Level.Trial)
        public void close() {
            pool.close();
        }
    }

    private static final class NoopTask extends WorkerTask {
        @Override
        protected int run() {
            return 0;
        }

        @Override
        protected void onComplete(int taskResult) {
            // nothing to do
        }
    }

    /** Per {@code depth} pairs of take and release. */
    @Benchmark
    public void takeAndRelease(Pool state) {
        Coroutine[] taken = state.taken;
        for (int i = 0; i < taken.length; i++) {
            taken[i] = requireNonNull(state.pool.take());
        }
        for (int i = 0; i < taken.length; i++) {
            state.pool.release(taken[i]);
        }
    }

    /** Into a coroutine and out of it. */
    @Benchmark
    public void resumeAndSuspend(Suspended state) {
        state.coroutine.resume();
    }

    /** Per {@code depth} calls: to a worker that may have parked, and back. */
    @Benchmark
    public void submitAndDrain(Workers state) {
        for (WorkerTask task : state.tasks) {
            state.client.submit(task);
        }
        while (state.client.inFlight() > 0) {
            if (state.client.drainCompletions(64) == 0) {
                Thread.onSpinWait();
            }
        }
    }

    /** Runs all of it, with the garbage per call. */
    public static void main(String[] args) throws RunnerException {
        new Runner(new OptionsBuilder()
                        .include(RuntimeBench.class.getSimpleName())
                        .addProfiler(GCProfiler.class)
                        .build())
                .run();
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.LongConsumer;
import org.HdrHistogram.Histogram;
import org.jspecify.annotations.Nullable;

/** One measurement: connects, lets client threads drive the queues, adds up what they counted. Runs on the caller's thread. */
public final class Bench {
    private static final long PROGRESS_MS = 250;

    private final BenchOptions options;

    public Bench(BenchOptions options) {
        this.options = options;
    }

    /**
     * Runs it.
     *
     * @param progress is told the number of finished requests several times a second
     * @throws IOException the back end cannot be used or has failed: one line for the user
     */
    public BenchResult run(LongConsumer progress) throws IOException {
        try (DriverSide side = DriverSide.open(options)) {
            List<LoadThread> loads = new ArrayList<>();
            for (int i = 0; i < options.threads(); i++) {
                loads.add(newLoad(side, i));
            }
            List<Thread> threads = start(loads);
            await(threads, loads, side.disk(), progress);
            for (LoadThread load : loads) {
                Throwable failure = load.failure();
                if (failure != null) {
                    throw new IOException(options.socket() + ": " + failure.getMessage(), failure);
                }
            }
            side.stop();
            return sum(side, loads);
        }
    }

    private LoadThread newLoad(DriverSide side, int thread) {
        LoadStatistics statistics = new LoadStatistics();
        List<QueueLoad> queues = new ArrayList<>();
        for (int i = thread; i < options.queues(); i += options.threads()) {
            queues.add(new QueueLoad(side.queue(i), side.slots(i), options, i, side.blocks(), statistics));
        }
        return new LoadThread(options, queues, side.calls(thread), statistics, thread == 0);
    }

    private static List<Thread> start(List<LoadThread> loads) {
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < loads.size(); i++) {
            threads.add(Thread.ofPlatform().name("bench-client-" + i).daemon().start(loads.get(i)));
        }
        return threads;
    }

    private void await(List<Thread> threads, List<LoadThread> loads, BenchDisk disk, LongConsumer progress)
            throws IOException {
        boolean lost = false;
        try {
            for (Thread thread : threads) {
                while (!thread.join(java.time.Duration.ofMillis(PROGRESS_MS))) {
                    progress.accept(
                            loads.stream().mapToLong(LoadThread::progress).sum());
                    if (!lost && disk.hasFailed()) {
                        lost = true;
                        loads.forEach(LoadThread::abort);
                    }
                }
            }
        } catch (InterruptedException e) {
            loads.forEach(LoadThread::abort);
            Thread.currentThread().interrupt();
            throw new IOException("interrupted", e);
        }
        if (lost) {
            throw new IOException(options.socket() + ": the back end has hung up or given a queue up");
        }
    }

    private BenchResult sum(DriverSide side, List<LoadThread> loads) {
        @Nullable Histogram latencies = null;
        long requests = 0;
        long errors = 0;
        int firstErrorStatus = 0;
        long kicks = 0;
        long interrupts = 0;
        long sleeps = 0;
        long overdue = 0;
        long cpuNs = 0;
        long elapsedNs = 0;
        ProcessUsage backend = ProcessUsage.NONE;
        for (LoadThread load : loads) {
            LoadStatistics statistics = load.statistics();
            if (latencies == null) {
                latencies = statistics.latencies();
            } else {
                latencies.add(statistics.latencies());
            }
            requests += statistics.requests();
            errors += statistics.errors();
            firstErrorStatus = Math.max(firstErrorStatus, statistics.firstErrorStatus());
            kicks += load.kicks();
            interrupts += statistics.interrupts();
            sleeps += statistics.sleeps();
            overdue += load.overdue();
            cpuNs += load.cpuTimeNs();
            elapsedNs = Math.max(elapsedNs, load.elapsedNs());
            backend = backend.plus(load.backend());
        }
        return new BenchResult(
                options,
                side.queueCount(),
                requests,
                errors,
                firstErrorStatus,
                elapsedNs / (double) TimeUnit.SECONDS.toNanos(1),
                LatencySummary.of(java.util.Objects.requireNonNull(latencies, "latencies")),
                kicks,
                interrupts,
                sleeps,
                overdue,
                cpuNs / (double) TimeUnit.SECONDS.toNanos(1),
                options.backendPid() == 0 ? null : backend);
    }
}

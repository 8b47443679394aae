// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import dev.vublk.vhostuser.linux.EventFdReader;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * A client thread: drives its queues through warm-up, measurement and the end. What it counted is read once it has ended;
 * {@link #progress} and {@link #abort} are for any thread.
 */
final class LoadThread implements Runnable {
    /** The loop is a method that is called again and again, so that the compiler gets hold of it; arbitrary beyond that. */
    private static final int PASSES = 1024;

    /** A sleeper looks up so often, to see whether it is to stop. */
    private static final long SLEEP_NS_MAX = TimeUnit.MILLISECONDS.toNanos(100);

    /** A back end that finishes nothing for so long does not work. */
    private static final long STALL_NS = TimeUnit.SECONDS.toNanos(20);

    private final BenchOptions options;
    private final QueueLoad[] queues;
    private final EventFdReader calls;
    private final LoadStatistics statistics;
    private final boolean watchesBackend;
    private final AtomicLong progress = new AtomicLong();
    private volatile boolean aborted;
    private volatile @Nullable Throwable failure;

    private long finished;
    private long lastFinished;
    private long lastFinishedNs;

    private long elapsedNs;
    private long cpuNs;
    private ProcessUsage backend = ProcessUsage.NONE;
    private long kicks;
    private long overdue;

    /** @param watchesBackend whether this thread is the one that tells what the back end has used */
    LoadThread(
            BenchOptions options,
            List<QueueLoad> queues,
            EventFdReader calls,
            LoadStatistics statistics,
            boolean watchesBackend) {
        this.options = options;
        this.queues = queues.toArray(QueueLoad[]::new);
        this.calls = calls;
        this.statistics = statistics;
        this.watchesBackend = watchesBackend;
    }

    @Override
    public void run() {
        try {
            measure();
        } catch (Throwable t) {
            failure = t;
        }
    }

    private void measure() throws IOException {
        long startNs = System.nanoTime();
        lastFinishedNs = startNs;
        for (QueueLoad queue : queues) {
            queue.start(startNs);
        }
        drive(startNs + options.warmupNs());

        calls.take();
        statistics.reset();
        long kicksBefore = countKicks();
        ProcessUsage backendBefore = backendUsage();
        long cpuBefore = cpuNs();
        long beginNs = System.nanoTime();
        drive(beginNs + options.timeNs());
        long endNs = System.nanoTime();
        elapsedNs = endNs - beginNs;
        cpuNs = cpuNs() - cpuBefore;
        backend = backendUsage().since(backendBefore);
        kicks = countKicks() - kicksBefore;
        statistics.addInterrupts(Math.max(0, calls.take()));
        statistics.latencies(); // Completes the histogram.
        for (QueueLoad queue : queues) {
            overdue += queue.overdue(endNs);
        }
        finish();
    }

    private ProcessUsage backendUsage() throws IOException {
        return watchesBackend && options.backendPid() != 0 ? ProcessUsage.of(options.backendPid()) : ProcessUsage.NONE;
    }

    private static long cpuNs() {
        return ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime();
    }

    private long countKicks() {
        long count = 0;
        for (QueueLoad queue : queues) {
            count += queue.queue().kicks();
        }
        return count;
    }

    private void drive(long untilNs) throws IOException {
        while (!aborted && System.nanoTime() - untilNs < 0) {
            passes();
            progress.setOpaque(finished);
            checkStall();
        }
    }

    /** Many passes over the queues, fewer when it slept. */
    private void passes() {
        for (int i = 0; i < PASSES; i++) {
            int done = 0;
            for (QueueLoad queue : queues) {
                done += queue.turn();
            }
            finished += done;
            if (done == 0 && options.event()) {
                sleep();
                return;
            }
        }
    }

    /** Sleeps until an interrupt or the time of the next request, in the way of a driver: asks, looks again, waits. */
    private void sleep() {
        boolean another = false;
        long timeoutNs = SLEEP_NS_MAX;
        long nowNs = options.ratePerSecond() == 0 ? 0 : System.nanoTime();
        for (QueueLoad queue : queues) {
            another |= queue.queue().ring().requestInterrupt();
            timeoutNs = Math.min(timeoutNs, queue.dueInNs(nowNs));
        }
        if (another || timeoutNs == 0) {
            return;
        }
        statistics.addSleep();
        if (calls.await(timeoutNs) > 0) {
            statistics.addInterrupts(calls.take());
        }
        for (QueueLoad queue : queues) {
            queue.queue().ring().endInterrupt();
        }
    }

    private void checkStall() throws IOException {
        long nowNs = System.nanoTime();
        if (finished != lastFinished || inFlight() == 0) {
            lastFinished = finished;
            lastFinishedNs = nowNs;
        } else if (nowNs - lastFinishedNs > STALL_NS) {
            throw new IOException("the back end has finished none of " + inFlight() + " requests for "
                    + TimeUnit.NANOSECONDS.toSeconds(STALL_NS) + " s");
        }
    }

    private int inFlight() {
        int count = 0;
        for (QueueLoad queue : queues) {
            count += queue.inFlight();
        }
        return count;
    }

    /** Waits for what is in flight; nothing of this is measured. */
    private void finish() throws IOException {
        for (QueueLoad queue : queues) {
            queue.stop();
        }
        while (!aborted && inFlight() > 0) {
            passes();
            checkStall();
        }
    }

    /** Ends the run early, without waiting for anything. */
    void abort() {
        aborted = true;
    }

    /** Requests finished so far, warm-up included. */
    long progress() {
        return progress.getOpaque();
    }

    @Nullable
    Throwable failure() {
        return failure;
    }

    LoadStatistics statistics() {
        return statistics;
    }

    long elapsedNs() {
        return elapsedNs;
    }

    long cpuTimeNs() {
        return cpuNs;
    }

    ProcessUsage backend() {
        return backend;
    }

    long kicks() {
        return kicks;
    }

    long overdue() {
        return overdue;
    }
}

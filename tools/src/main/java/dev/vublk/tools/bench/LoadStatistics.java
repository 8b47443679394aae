// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import java.util.concurrent.TimeUnit;
import org.HdrHistogram.Histogram;

/** What one client thread counts while it measures. Used by that thread, and by others once it has ended. */
final class LoadStatistics {
    private static final long LATENCY_NS_MAX = TimeUnit.SECONDS.toNanos(100);
    private static final int SIGNIFICANT_DIGITS = 3;

    private final Histogram latencies = new Histogram(LATENCY_NS_MAX, SIGNIFICANT_DIGITS);
    private long requests;
    private long errors;
    private int firstErrorStatus;
    private long interrupts;
    private long sleeps;

    /** Requests that began and ended together have one latency; they go into the histogram together. */
    private long pendingLatencyNs;

    private long pendingCount;

    /** Begins to measure. Errors stay: one during the warm-up is one. */
    void reset() {
        latencies.reset();
        requests = 0;
        interrupts = 0;
        sleeps = 0;
        pendingCount = 0;
    }

    /** Counts a request that is done. */
    void record(long latencyNs, int status) {
        requests++;
        if (latencyNs != pendingLatencyNs) {
            flush();
            pendingLatencyNs = latencyNs;
        }
        pendingCount++;
        recordStatus(status);
    }

    /** Counts a request that is done but not measured. */
    void recordStatus(int status) {
        if (status != BlkSpec.VIRTIO_BLK_S_OK && errors++ == 0) {
            firstErrorStatus = status;
        }
    }

    private void flush() {
        if (pendingCount > 0) {
            latencies.recordValueWithCount(Math.clamp(pendingLatencyNs, 0, LATENCY_NS_MAX), pendingCount);
            pendingCount = 0;
        }
    }

    void addInterrupts(long count) {
        interrupts += count;
    }

    void addSleep() {
        sleeps++;
    }

    /** The latencies so far. */
    Histogram latencies() {
        flush();
        return latencies;
    }

    long requests() {
        return requests;
    }

    long errors() {
        return errors;
    }

    /** The status byte of the first request that failed. */
    int firstErrorStatus() {
        return firstErrorStatus;
    }

    long interrupts() {
        return interrupts;
    }

    long sleeps() {
        return sleeps;
    }
}

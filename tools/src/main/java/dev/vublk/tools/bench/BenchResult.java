// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import org.jspecify.annotations.Nullable;

/**
 * What one run has measured.
 *
 * @param queuesSetUp active and idle queues
 * @param requests finished while it was measured
 * @param errors requests that failed, also before and after
 * @param firstErrorStatus their status byte
 * @param seconds how long was measured
 * @param kicks kicks sent
 * @param interrupts signals of the call eventfds
 * @param sleeps how often a client thread waited in the kernel
 * @param overdue requests of a rate that were not submitted in time to the end
 * @param clientCpuSeconds CPU time of the client threads
 * @param backend what the back end's process has used, or null when that was not asked for
 */
public record BenchResult(
        BenchOptions options,
        int queuesSetUp,
        long requests,
        long errors,
        int firstErrorStatus,
        double seconds,
        LatencySummary latency,
        long kicks,
        long interrupts,
        long sleeps,
        long overdue,
        double clientCpuSeconds,
        @Nullable ProcessUsage backend) {

    private static final double BYTES_PER_MIB = 1 << 20;
    private static final double MILLION = 1e6;

    public double iops() {
        return seconds > 0 ? requests / seconds : 0;
    }

    public double mibPerSecond() {
        return iops() * options.blockBytes() / BYTES_PER_MIB;
    }

    public double kicksPerRequest() {
        return perRequest((double) kicks);
    }

    public double interruptsPerRequest() {
        return perRequest((double) interrupts);
    }

    public double sleepsPerRequest() {
        return perRequest((double) sleeps);
    }

    public double clientCpuSecondsPerMillion() {
        return perRequest(clientCpuSeconds) * MILLION;
    }

    /** NaN when it was not asked for. */
    public double backendCpuSecondsPerMillion() {
        return backend == null ? Double.NaN : perRequest(backend.cpuSeconds()) * MILLION;
    }

    /** How often the back end's threads have left the processor; NaN when it was not asked for. */
    public double backendSwitchesPerRequest() {
        return backend == null ? Double.NaN : perRequest((double) backend.switches());
    }

    private double perRequest(double value) {
        return requests > 0 ? value / requests : 0;
    }
}

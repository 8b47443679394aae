// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import java.util.Formatter;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;

/** A result for people and for programs. */
public final class BenchReport {
    private static final double NS_PER_S = 1e9;

    private final BenchResult result;

    public BenchReport(BenchResult result) {
        this.result = result;
    }

    /** Several lines. */
    public String text() {
        BenchOptions options = result.options();
        LatencySummary latency = result.latency();
        Formatter text = new Formatter(Locale.ROOT);
        text.format(
                "%s, %d bytes, depth %d, %d of %d queues active, %d %s, %s descriptors, %.2f s%n",
                workload(),
                options.blockBytes(),
                options.ioDepth(),
                options.queues(),
                result.queuesSetUp(),
                options.threads(),
                (options.threads() == 1 ? "client thread " : "client threads ")
                        + (options.event() ? "sleeping" : "polling"),
                (options.packed() ? "packed " : "") + (options.indirect() ? "indirect" : "direct"),
                result.seconds());
        text.format("  IOPS          %,.0f (%,.1f MiB/s)%n", result.iops(), result.mibPerSecond());
        text.format(
                "  latency, us   mean %.2f, p50 %.2f, p90 %.2f, p99 %.2f, p99.9 %.2f, max %.2f%s%n",
                latency.mean(),
                latency.p50(),
                latency.p90(),
                latency.p99(),
                latency.p999(),
                latency.max(),
                options.ratePerSecond() > 0 ? " (from when each was due)" : "");
        text.format(
                "  per request   %.4f kicks, %.4f interrupts%n",
                result.kicksPerRequest(), result.interruptsPerRequest());
        text.format(
                "  client        %.2f s CPU, %.3f s per million requests, slept %,d times%n",
                result.clientCpuSeconds(), result.clientCpuSecondsPerMillion(), result.sleeps());
        ProcessUsage backend = result.backend();
        if (backend != null) {
            text.format(
                    "  back end      %.2f s CPU, %.3f s per million requests, slept %,d times%n",
                    backend.cpuSeconds(), result.backendCpuSecondsPerMillion(), backend.sleeps());
        }
        if (options.ratePerSecond() > 0) {
            text.format(
                    "  rate          %,.0f per second asked for, %,d requests overdue at the end%n",
                    options.ratePerSecond(), result.overdue());
        }
        if (result.errors() > 0) {
            text.format("  errors        %,d, the first with status %d%n", result.errors(), result.firstErrorStatus());
        }
        return text.toString();
    }

    private String workload() {
        return result.options().workload().name().toLowerCase(Locale.ROOT);
    }

    /** Fields of a JSON object; times in seconds, latencies in microseconds. */
    public Map<String, Object> fields() {
        BenchOptions options = result.options();
        LatencySummary latency = result.latency();
        Map<String, Object> fields = new LinkedHashMap<>();
        fields.put("rw", workload());
        fields.put("bs", options.blockBytes());
        fields.put("iodepth", options.ioDepth());
        fields.put("queues", options.queues());
        fields.put("queues-set-up", result.queuesSetUp());
        fields.put("threads", options.threads());
        fields.put("client", options.event() ? "event" : "poll");
        fields.put("indirect", options.indirect());
        fields.put("packed", options.packed());
        fields.put("rate", options.ratePerSecond());
        fields.put("warmup", options.warmupNs() / NS_PER_S);
        fields.put("time", result.seconds());
        fields.put("requests", result.requests());
        fields.put("errors", result.errors());
        fields.put("first-error-status", result.firstErrorStatus());
        fields.put("iops", result.iops());
        fields.put("mib-per-second", result.mibPerSecond());
        fields.put("latency-mean", latency.mean());
        fields.put("latency-min", latency.min());
        fields.put("latency-p50", latency.p50());
        fields.put("latency-p90", latency.p90());
        fields.put("latency-p99", latency.p99());
        fields.put("latency-p99.9", latency.p999());
        fields.put("latency-max", latency.max());
        fields.put("kicks-per-request", result.kicksPerRequest());
        fields.put("interrupts-per-request", result.interruptsPerRequest());
        fields.put("sleeps", result.sleeps());
        fields.put("overdue", result.overdue());
        fields.put("client-cpu", result.clientCpuSeconds());
        fields.put("client-cpu-per-million", result.clientCpuSecondsPerMillion());
        ProcessUsage backend = result.backend();
        if (backend != null) {
            fields.put("backend-cpu", backend.cpuSeconds());
            fields.put("backend-cpu-per-million", result.backendCpuSecondsPerMillion());
            fields.put("backend-sleeps", backend.sleeps());
        }
        return fields;
    }
}

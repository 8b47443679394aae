// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.List;
import org.HdrHistogram.Histogram;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

class BenchReportTest {
    private static BenchResult result(long errors, @Nullable ProcessUsage backend) {
        return new BenchResult(
                BenchOptions.builder("s").queues(2).build(),
                8,
                4_000_000,
                errors,
                errors > 0 ? 1 : 0,
                2.0,
                new LatencySummary(1.5, 1, 1.25, 2, 3, 4, 5),
                1_000_000,
                2_000_000,
                7,
                0,
                1.0,
                backend);
    }

    @Test
    void shouldComputeRates() {
        BenchResult result = result(0, new ProcessUsage(3.0, 12_345, 6));
        assertThat(result.iops()).isEqualTo(2_000_000);
        assertThat(result.mibPerSecond()).isEqualTo(7812.5);
        assertThat(result.kicksPerRequest()).isEqualTo(0.25);
        assertThat(result.interruptsPerRequest()).isEqualTo(0.5);
        assertThat(result.clientCpuSecondsPerMillion()).isEqualTo(0.25);
        assertThat(result.backendCpuSecondsPerMillion()).isEqualTo(0.75);
    }

    @Test
    void shouldPrintWhatItMeasured() {
        assertThat(new BenchReport(result(0, new ProcessUsage(3.0, 12_345, 6))).text())
                .isEqualTo("""
                        randread, 4096 bytes, depth 1, 2 of 8 queues active, 1 client thread polling, direct descriptors, 2.00 s
                          IOPS          2,000,000 (7,812.5 MiB/s)
                          latency, us   mean 1.50, p50 1.25, p90 2.00, p99 3.00, p99.9 4.00, max 5.00
                          per request   0.2500 kicks, 0.5000 interrupts
                          client        1.00 s CPU, 0.250 s per million requests, slept 7 times
                          back end      3.00 s CPU, 0.750 s per million requests, slept 12,345 times
                        """);
    }

    @Test
    void shouldTellErrorsAndLeaveOutWhatIsUnknown() {
        BenchReport report = new BenchReport(result(12, null));
        assertThat(report.text())
                .contains("errors        12, the first with status 1")
                .doesNotContain("back end");
        assertThat(report.fields())
                .containsEntry("errors", 12L)
                .containsEntry("latency-p99.9", 4.0)
                .doesNotContainKey("backend-cpu");
    }

    @Test
    void shouldCountRunsOfEqualLatencies() {
        LoadStatistics statistics = new LoadStatistics();
        for (int i = 0; i < 90; i++) {
            statistics.record(1_000, 0);
        }
        for (int i = 0; i < 10; i++) {
            statistics.record(50_000, i == 0 ? 2 : 0);
        }
        Histogram latencies = statistics.latencies();
        assertThat(latencies.getTotalCount()).isEqualTo(100);
        assertThat(LatencySummary.of(latencies).p90()).isCloseTo(1.0, within(0.01));
        assertThat(LatencySummary.of(latencies).p99()).isCloseTo(50.0, within(0.1));
        assertThat(statistics.errors()).isEqualTo(1);
        assertThat(statistics.firstErrorStatus()).isEqualTo(2);
    }

    @Test
    void shouldKeepErrorsOfTheWarmUp() {
        LoadStatistics statistics = new LoadStatistics();
        statistics.record(1_000, 1);
        statistics.reset();
        assertThat(statistics.requests()).isZero();
        assertThat(statistics.latencies().getTotalCount()).isZero();
        assertThat(statistics.errors()).isEqualTo(1);
    }

    @Test
    void shouldReadProcessTimesBehindAnyName() {
        assertThat(ProcessUsage.cpuSeconds("12 (a ) b (c)) S 1 1 1 0 -1 4194560 9 0 0 0 150 75 0 0 20 0 1 0 5"))
                .isEqualTo(2.25);
    }

    @Test
    void shouldTellSleepsFromPreemptions() {
        ProcessUsage usage = ProcessUsage.switches(
                List.of("Name:\tx", "voluntary_ctxt_switches:\t31", "nonvoluntary_ctxt_switches:\t9"));
        assertThat(usage).isEqualTo(new ProcessUsage(0, 31, 9));
        assertThat(usage.switches()).isEqualTo(40);
    }
}

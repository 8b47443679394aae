// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(60)
class BenchTest {
    @TempDir
    private Path directory;

    private BenchBackend backend() throws IOException {
        return BenchBackend.start(directory, "null:64MiB");
    }

    private static BenchOptions.Builder options(BenchBackend backend) {
        return BenchOptions.builder(backend.socket()).timeSeconds(0.1).warmupSeconds(0.05);
    }

    @ParameterizedTest
    @EnumSource(
            value = Workload.class,
            names = {"READ", "WRITE", "RANDREAD", "RANDWRITE", "RANDRW"})
    void shouldMeasureEveryWorkload(Workload workload) throws IOException {
        try (BenchBackend backend = backend()) {
            BenchResult result =
                    new Bench(options(backend).workload(workload).ioDepth(4).build()).run(count -> {});
            assertThat(result.requests()).isPositive();
            assertThat(result.errors()).isZero();
            assertThat(result.seconds()).isBetween(0.1, 10.0);
            assertThat(result.latency().p50())
                    .isPositive()
                    .isLessThanOrEqualTo(result.latency().max());
            assertThat(result.queuesSetUp()).isEqualTo(BenchBackend.QUEUES);
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void shouldSleepBetweenInterruptsWhenAskedTo(boolean packed) throws IOException {
        try (BenchBackend backend = backend()) {
            BenchResult result =
                    new Bench(options(backend).event(true).packed(packed).build()).run(count -> {});
            assertThat(result.requests()).isPositive();
            assertThat(result.sleeps()).isPositive();
            assertThat(result.interrupts()).isPositive().isLessThanOrEqualTo(result.requests() + 1);
        }
    }

    @Test
    void shouldDriveQueuesFromSeveralThreadsWithoutIdleOnes() throws IOException {
        try (BenchBackend backend = backend()) {
            BenchResult result = new Bench(options(backend)
                            .queues(3)
                            .threads(2)
                            .ioDepth(2)
                            .indirect(true)
                            .idleQueues(false)
                            .build())
                    .run(count -> {});
            assertThat(result.requests()).isPositive();
            assertThat(result.queuesSetUp()).isEqualTo(3);
        }
    }

    @Test
    void shouldDrivePackedRingsOfAnySize() throws IOException {
        try (BenchBackend backend = backend()) {
            BenchResult result = new Bench(options(backend)
                            .queues(2)
                            .ioDepth(33)
                            .packed(true)
                            .queueSize(99)
                            .workload(Workload.RANDREAD)
                            .build())
                    .run(count -> {});
            assertThat(result.requests()).isGreaterThan(1000);
            assertThat(result.errors()).isZero();
        }
    }

    @Test
    void shouldKeepToARate() throws IOException {
        try (BenchBackend backend = backend()) {
            BenchResult result = new Bench(options(backend)
                            .timeSeconds(0.5)
                            .ratePerSecond(2000)
                            .ioDepth(64)
                            .build())
                    .run(count -> {});
            assertThat(result.requests()).isBetween(900L, 1100L);
        }
    }

    @Test
    void shouldRefuseWhatTheDiskDoesNotOffer() throws IOException {
        try (BenchBackend backend = backend()) {
            assertThatThrownBy(() -> new Bench(options(backend).queues(5).build()).run(count -> {}))
                    .hasMessage("--queues 5: the back end offers 4");
            assertThatThrownBy(
                            () -> new Bench(options(backend).range(0, 128 << 20).build()).run(count -> {}))
                    .hasMessage("--offset and --size reach beyond the disk's 67108864 bytes");
            assertThatThrownBy(() -> new Bench(options(backend).ioDepth(1000).build()).run(count -> {}))
                    .hasMessageContaining("use --indirect");
        }
    }

    @Test
    void shouldSayThatNobodyListens() {
        String socket = directory.resolve("nobody").toString();
        assertThatThrownBy(() -> new Bench(BenchOptions.builder(socket).build()).run(count -> {}))
                .hasMessage(socket + ": cannot connect: No such file or directory (ENOENT)");
    }

    @Test
    void shouldConnectAndStayIdle() throws IOException {
        try (BenchBackend backend = backend();
                IdleDisks idle = IdleDisks.connect(List.of(backend.socket()))) {
            assertThat(idle.diskCount()).isEqualTo(1);
            assertThat(idle.queueCount()).isEqualTo(BenchBackend.QUEUES);
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.BlockOptions.CacheMode;
import dev.vublk.blockdev.ImageType;
import dev.vublk.blockdev.testing.Crew;
import dev.vublk.blockdev.testing.FaultPlan;
import dev.vublk.blockdev.testing.PlainLoop;
import dev.vublk.blockdev.testing.TestDisk;
import dev.vublk.blockdev.testing.TestImages;
import dev.vublk.blockdev.testing.TestVector;
import java.nio.file.Path;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class BounceBufferTest {
    private static final int EXTRA_COUNT = 5;

    @TempDir
    private Path directory;

    @Test
    void shouldLetRequestsWaitForBuffers() throws Exception {
        CountDownLatch allBusy = new CountDownLatch(BounceBufferPool.BUFFER_MAX);
        CountDownLatch letGo = new CountDownLatch(1);
        AtomicInteger started = new AtomicInteger();
        FaultPlan held = (operation, offsetBytes, lengthBytes) -> {
            started.incrementAndGet();
            allBusy.countDown();
            try {
                assertThat(letGo.await(30, TimeUnit.SECONDS)).isTrue();
            } catch (InterruptedException e) {
                throw new AssertionError(e);
            }
            return FaultPlan.NO_FAULT;
        };
        PlainLoop loop = PlainLoop.withoutRing(held);
        Path image = TestImages.file(directory, 1 << 20);
        try (TestDisk disk = new TestDisk(TestDisk.options(image, CacheMode.NONE), loop);
                Crew crew = new Crew()) {
            for (int i = 0; i < BounceBufferPool.BUFFER_MAX + EXTRA_COUNT; i++) {
                crew.run(() -> {
                    try (TestVector unaligned = TestVector.skewed(1, 4096)) {
                        assertThat(disk.read(8192, unaligned)).isZero();
                    }
                    return 0;
                });
            }
            assertThat(allBusy.await(30, TimeUnit.SECONDS)).isTrue();
            for (int i = 0; i < EXTRA_COUNT; i++) {
                loop.awaitWaiter();
            }
            assertThat(started.get()).isEqualTo(BounceBufferPool.BUFFER_MAX);
            letGo.countDown();
            crew.join();
            assertThat(started.get()).isEqualTo(BounceBufferPool.BUFFER_MAX + EXTRA_COUNT);
        }
    }

    /** Aligned requests go straight from their own buffers: one call each, not one a piece. */
    @Test
    void shouldNotBounceAlignedRequests() throws Exception {
        Path image = TestImages.file(directory, 4 << 20);
        AtomicInteger calls = new AtomicInteger();
        FaultPlan counting = (operation, offsetBytes, lengthBytes) -> {
            calls.incrementAndGet();
            return FaultPlan.NO_FAULT;
        };
        // What a probed image's first sector gets is looked at before it is written, and so bounced.
        BlockOptions raw = TestDisk.options(image, CacheMode.NONE).withType(ImageType.RAW);
        try (TestDisk disk = new TestDisk(raw, PlainLoop.withRing(counting));
                TestVector aligned = TestVector.of(1 << 20, 2 << 20);
                TestVector unaligned = TestVector.skewed(1, 3 << 20)) {
            assertThat(disk.write(0, aligned, false)).isZero();
            assertThat(calls.get()).isEqualTo(1);
            assertThat(disk.write(0, unaligned, false)).isZero();
            assertThat(calls.get()).isEqualTo(4);
        }
    }
}

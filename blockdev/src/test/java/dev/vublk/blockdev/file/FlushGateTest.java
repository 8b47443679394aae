// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockDrivers;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.testing.Crew;
import dev.vublk.blockdev.testing.FaultPlan;
import dev.vublk.blockdev.testing.PlainLoop;
import dev.vublk.blockdev.testing.TestDisk;
import dev.vublk.blockdev.testing.TestImages;
import java.nio.file.Path;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Flushes side by side, on one loop and on two. */
final class FlushGateTest {
    @TempDir
    private Path directory;

    /** Holds the first fdatasync until it is let go, then answers for it. */
    private static final class HeldFlush implements FaultPlan {
        final CountDownLatch started = new CountDownLatch(1);
        final CountDownLatch letGo = new CountDownLatch(1);
        final AtomicInteger count = new AtomicInteger();
        private final long answer;

        HeldFlush(long answer) {
            this.answer = answer;
        }

        @Override
        public long next(Operation operation, long offsetBytes, long lengthBytes) {
            if (operation != Operation.FSYNC || count.incrementAndGet() > 1) {
                return NO_FAULT;
            }
            started.countDown();
            try {
                assertThat(letGo.await(30, TimeUnit.SECONDS)).isTrue();
            } catch (InterruptedException e) {
                throw new AssertionError(e);
            }
            return answer;
        }
    }

    @Test
    void shouldServeAllWhoArriveMeanwhileByOneFlush() throws Exception {
        HeldFlush plan = new HeldFlush(FaultPlan.NO_FAULT);
        PlainLoop first = PlainLoop.withRing(plan);
        PlainLoop second = PlainLoop.withRing(plan);
        try (BlockDriver driver = BlockDrivers.open(TestDisk.options(TestImages.file(directory, 1 << 20)));
                BlockChannel one = driver.openChannel(first);
                BlockChannel two = driver.openChannel(second);
                Crew crew = new Crew()) {
            Future<Integer> running = crew.start(() -> first.run(one::flush));
            assertThat(plan.started.await(30, TimeUnit.SECONDS)).isTrue();
            for (int i = 0; i < 3; i++) {
                crew.run(() -> {
                    assertThat(first.run(one::flush)).isZero();
                    return 0;
                });
                crew.run(() -> {
                    assertThat(second.run(two::flush)).isZero();
                    return 0;
                });
                first.awaitWaiter();
                second.awaitWaiter();
            }
            assertThat(plan.count.get()).isEqualTo(1);
            plan.letGo.countDown();
            crew.join();
            assertThat(Crew.result(running)).isZero();
            assertThat(plan.count.get()).isEqualTo(2);
        }
    }

    /** The kernel tells of the failure once; who came second must hear of it all the same. */
    @Test
    void shouldFailWhoWaitedForFailedFlushOfAnotherLoop() throws Exception {
        HeldFlush plan = new HeldFlush(-Errno.EIO);
        PlainLoop first = PlainLoop.withRing(plan);
        PlainLoop second = PlainLoop.withRing(plan);
        try (BlockDriver driver = BlockDrivers.open(TestDisk.options(TestImages.file(directory, 1 << 20)));
                BlockChannel one = driver.openChannel(first);
                BlockChannel two = driver.openChannel(second);
                Crew crew = new Crew()) {
            Future<Integer> running = crew.start(() -> first.run(one::flush));
            assertThat(plan.started.await(30, TimeUnit.SECONDS)).isTrue();
            Future<Integer> waiting = crew.start(() -> second.run(two::flush));
            second.awaitWaiter();
            plan.letGo.countDown();
            assertThat(Crew.result(running)).isEqualTo(-Errno.EIO);
            assertThat(Crew.result(waiting)).isEqualTo(-Errno.EIO);
            assertThat(plan.count.get()).isEqualTo(1);
        }
    }
}

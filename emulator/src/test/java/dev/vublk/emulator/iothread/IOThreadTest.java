// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.iothread;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.vublk.blockdev.IoContext;
import dev.vublk.emulator.ProcessResources;
import dev.vublk.emulator.coroutine.GlobalCoroutinePool;
import dev.vublk.emulator.linux.CpuAffinity;
import dev.vublk.emulator.worker.WorkerPool;
import dev.vublk.emulator.worker.WorkerPoolConfig;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** The loop whose passes run inside coroutines: hand-over, limits, faults, start and stop. */
final class IOThreadTest {
    private static final int TIMEOUT_S = 20;
    private static final int TINY_LIMIT = 1;

    private final WorkerPool workers = new WorkerPool(WorkerPoolConfig.DEFAULT.withName("test-worker"));
    private GlobalCoroutinePool coroutines = new GlobalCoroutinePool();
    private IOThread loop;

    @BeforeEach
    void start() {
        loop = new IOThread(
                new IOThreadConfig("test-loop", FdMonitorKind.IO_URING, PollSettings.DEFAULT), coroutines, workers);
        loop.start();
    }

    @AfterEach
    void stop() {
        loop.close();
        workers.close();
    }

    private void restartWithTinyLimit() {
        loop.close();
        coroutines = new GlobalCoroutinePool(4, TINY_LIMIT);
        start();
    }

    private static void await(CountDownLatch latch) throws InterruptedException {
        assertThat(latch.await(TIMEOUT_S, TimeUnit.SECONDS)).isTrue();
    }

    /** Everything that the loop has queued up to now, and what follows from it at once, is done on return. */
    private void passThroughLoop() throws InterruptedException {
        for (int i = 0; i < 3; i++) {
            CountDownLatch done = new CountDownLatch(1);
            loop.spawn(done::countDown);
            await(done);
        }
    }

    private IoContext.WaitQueue newQueue() throws InterruptedException {
        AtomicReference<IoContext.WaitQueue> queue = new AtomicReference<>();
        CountDownLatch made = new CountDownLatch(1);
        loop.execute(() -> {
            queue.set(loop.ioContext().newWaitQueue());
            made.countDown();
        });
        await(made);
        return queue.get();
    }

    @Test
    void shouldRunSpawnedWorkWhileOtherWorkWaits() throws Exception {
        IoContext.WaitQueue queue = newQueue();
        List<Integer> order = new ArrayList<>();
        CountDownLatch done = new CountDownLatch(2);
        loop.spawn(() -> {
            order.add(1);
            queue.await();
            order.add(3);
            done.countDown();
        });
        loop.spawn(() -> {
            order.add(2);
            queue.wakeOne();
            done.countDown();
        });
        await(done);
        assertThat(order).containsExactly(1, 2, 3);
    }

    @Test
    void shouldCountAsAwakeUntilItSleeps() throws Exception {
        AwakeLoops awake = new AwakeLoops(1);
        IOThread counted = new IOThread(
                new IOThreadConfig("test-counted", FdMonitorKind.IO_URING, PollSettings.DEFAULT),
                coroutines,
                workers,
                awake);
        counted.start();
        try {
            for (int i = 0; i < 3; i++) {
                CountDownLatch done = new CountDownLatch(1);
                counted.spawn(() -> {
                    if (awake.areCrowded()) {
                        done.countDown();
                    }
                });
                await(done);
                long deadlineNs = System.nanoTime() + TimeUnit.SECONDS.toNanos(TIMEOUT_S);
                while (awake.areCrowded()) {
                    assertThat(System.nanoTime()).isLessThan(deadlineNs);
                    Thread.onSpinWait();
                }
            }
        } finally {
            counted.close();
        }
        assertThat(awake.areCrowded()).isFalse();
    }

    @Test
    void shouldKeepTheLoopRunningWhenWorkThrows() throws Exception {
        IoContext.WaitQueue queue = newQueue();
        loop.spawn(() -> {
            throw new Fault();
        });
        loop.spawn(() -> {
            queue.await();
            throw new Fault();
        });
        loop.spawn(queue::wakeAll);
        passThroughLoop();
    }

    @Test
    void shouldKeepTheLoopRunningWhenATaskOrTheEndOfAPassThrows() throws Exception {
        loop.execute(() -> {
            throw new Fault();
        });
        AtomicReference<Throwable> reported = new AtomicReference<>();
        CountDownLatch othersCalled = new CountDownLatch(1);
        loop.spawn(() -> {
            loop.atPassEnd(new ThrowingListener(reported));
            loop.atPassEnd(new PassEndListener() {
                @Override
                public void onPassEnd() {
                    othersCalled.countDown();
                }

                @Override
                public void onFailure(Throwable failure) {}
            });
        });
        await(othersCalled);
        passThroughLoop();
        assertThat(reported.get()).isInstanceOf(Fault.class);
    }

    @Test
    void shouldKeepTheLoopRunningWhenSomethingIsThrownOutsideOfAnyItem() throws Exception {
        IoContext.WaitQueue queue = newQueue();
        CountDownLatch resumed = new CountDownLatch(1);
        loop.spawn(() -> {
            queue.await();
            resumed.countDown();
        });
        // Items handle their own failures; one that fails in doing so stands for what nobody foresaw.
        CountDownLatch failed = new CountDownLatch(1);
        loop.execute(() -> loop.schedule(new PassItem() {
            @Override
            protected void run() {
                throw new Fault();
            }

            @Override
            public void onFailure(Throwable failure) {
                failed.countDown();
                throw new Fault();
            }
        }));
        await(failed);
        loop.spawn(queue::wakeAll);
        await(resumed);
        passThroughLoop();
        assertThat(loop.failedPasses()).isEqualTo(1);
    }

    @Test
    void shouldRunAnItemOnceHoweverOftenItIsScheduled() throws Exception {
        AtomicInteger runs = new AtomicInteger();
        PassItem item = new PassItem() {
            @Override
            protected void run() {
                runs.incrementAndGet();
            }

            @Override
            public void onFailure(Throwable failure) {}
        };
        CountDownLatch scheduled = new CountDownLatch(1);
        loop.execute(() -> {
            loop.schedule(item);
            loop.schedule(item);
            scheduled.countDown();
        });
        await(scheduled);
        passThroughLoop();
        assertThat(runs).hasValue(1);
    }

    /** Sessions do not ask for leave to wait: the loop must find somebody to run it, whatever the limit says. */
    @Test
    void shouldGoOnBeyondTheLimitOfCoroutines() throws Exception {
        restartWithTinyLimit();
        int count = 100;
        IoContext.WaitQueue queue = newQueue();
        for (int round = 0; round < 3; round++) {
            CountDownLatch waiting = new CountDownLatch(count);
            CountDownLatch done = new CountDownLatch(count);
            for (int i = 0; i < count; i++) {
                loop.spawn(() -> {
                    waiting.countDown();
                    queue.await();
                    done.countDown();
                });
            }
            await(waiting);
            queue.wakeAllFromAnyThread();
            await(done);
            passThroughLoop();
        }
        assertThat(coroutines.accounted()).isLessThanOrEqualTo(16);
        assertThat(loop.failedPasses()).isZero();
    }

    @Test
    void shouldCarryOutMoreOperationsThanTheRingHasSlots() throws Exception {
        int count = 3000;
        CountDownLatch done = new CountDownLatch(count);
        AtomicInteger mostInFlight = new AtomicInteger();
        AtomicInteger failures = new AtomicInteger();
        AtomicInteger inFlight = new AtomicInteger();
        // All in one pass: completions are taken in the next one only. A wrong descriptor is answered as any other.
        loop.execute(() -> {
            for (int i = 0; i < count; i++) {
                loop.spawn(() -> {
                    mostInFlight.set(Math.max(mostInFlight.get(), inFlight.incrementAndGet()));
                    int result = requireNonNull(loop.ioContext().ring()).fsync(-1, true);
                    inFlight.decrementAndGet();
                    if (result != -9) {
                        failures.incrementAndGet();
                    }
                    done.countDown();
                });
            }
        });
        await(done);
        assertThat(failures).hasValue(0);
        assertThat(mostInFlight.get()).isEqualTo(count);
    }

    @Test
    void shouldLeaveNothingBehindWhenItCannotStart() throws Exception {
        WorkerPool pool = new WorkerPool(WorkerPoolConfig.DEFAULT.withName("test-worker"));
        GlobalCoroutinePool own = new GlobalCoroutinePool();
        assertThatThrownBy(() -> startOnMissingProcessor(own, pool)).isInstanceOf(IllegalStateException.class);
        ProcessResources before = ProcessResources.now();
        for (int i = 0; i < 20; i++) {
            assertThatThrownBy(() -> startOnMissingProcessor(own, pool))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("cannot run on processors");
        }
        pool.close();
        assertThat(own.accounted()).isZero();
        assertThat(ProcessResources.now()).matches(now -> now.areWithin(before), "within " + before);
    }

    private static void startOnMissingProcessor(GlobalCoroutinePool coroutines, WorkerPool workers) {
        new IOThread(
                        new IOThreadConfig(
                                "test-unborn", CpuAffinity.of(8191), FdMonitorKind.IO_URING, PollSettings.OFF, 15_000),
                        coroutines,
                        workers)
                .start();
    }

    @Test
    void shouldGiveEverythingBackWhenClosed() {
        loop.close();
        assertThat(coroutines.accounted()).isEqualTo(coroutines.pooled());
        ProcessResources before = ProcessResources.now();
        for (int i = 0; i < 20; i++) {
            start();
            loop.close();
        }
        assertThat(ProcessResources.now()).matches(now -> now.areWithin(before), "within " + before);
        start();
    }

    private static final class ThrowingListener implements PassEndListener {
        private final AtomicReference<Throwable> reported;

        private ThrowingListener(AtomicReference<Throwable> reported) {
            this.reported = reported;
        }

        @Override
        public void onPassEnd() {
            throw new Fault();
        }

        @Override
        public void onFailure(Throwable failure) {
            reported.set(failure);
        }
    }

    /** Expected in the log, without a page of frames. */
    private static final class Fault extends RuntimeException {
        private static final long serialVersionUID = 1L;

        private Fault() {
            super("thrown by the test, expected in the log", null, false, false);
        }
    }
}

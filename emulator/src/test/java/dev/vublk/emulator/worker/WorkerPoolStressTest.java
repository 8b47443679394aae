// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.worker;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.Test;

/** Loops that submit, cancel, drain and block at random, against workers that come and go all the time. */
class WorkerPoolStressTest {
    private static final int LOOPS = 3;
    private static final int TASKS_PER_LOOP = 24;
    private static final int ROUNDS = 2500;

    /** Counts each submission's fate. */
    private static final class CountingTask extends WorkerTask {
        final AtomicInteger runs = new AtomicInteger();
        int submissions;
        int completions;
        int cancellations;
        int expected;
        boolean isInFlight;
        long parkNs;

        @Override
        protected int run() {
            if (parkNs > 0) {
                LockSupport.parkNanos(parkNs);
            }
            return runs.incrementAndGet();
        }

        @Override
        protected void onComplete(int taskResult) {
            assertThat(isInFlight).isTrue();
            isInFlight = false;
            completions++;
            if (taskResult == -WorkerPool.ECANCELED) {
                cancellations++;
            } else {
                assertThat(taskResult).isEqualTo(++expected);
            }
        }
    }

    @RepeatedTest(8)
    void shouldCompleteEachSubmissionOnce() throws Exception {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        int maxThreads = 1 + random.nextInt(8);
        int minThreads = random.nextInt(maxThreads + 1);
        boolean finishesQueued = random.nextBoolean();
        // 0 ms: each worker that parks is about to leave, so that leaving and waking meet often.
        int idleTimeoutMs = random.nextInt(2);
        System.out.println("seed " + seed + ", threads " + minThreads + "-" + maxThreads + ", idle " + idleTimeoutMs);
        WorkerPool pool = new WorkerPool(
                WorkerPoolConfig.DEFAULT.withThreads(minThreads, maxThreads).withIdleTimeoutMs(idleTimeoutMs));
        try (ExecutorService executor = Executors.newCachedThreadPool()) {
            List<Future<Boolean>> loops = new ArrayList<>();
            for (int i = 0; i < LOOPS; i++) {
                long loopSeed = random.nextLong();
                boolean closes = i == 0 && random.nextBoolean();
                loops.add(executor.submit(
                        () -> new RandomLoop(pool, maxThreads, new Random(loopSeed)).run(closes, finishesQueued)));
            }
            for (Future<Boolean> loop : loops) {
                assertThat(loop.get(120, TimeUnit.SECONDS)).isTrue();
            }
        }
        pool.close();
        assertThat(WorkerPoolState.describe(pool.state()))
                .isEqualTo("closed, 0 threads, 0 idle, 0 coming, 0 unclaimed");
        WorkerPoolStats stats = pool.stats();
        assertThat(stats.submitted()).isEqualTo(stats.completed());
    }

    /** One call at a time, and the loop about to block just when it completes: no later completion hides a lost wake-up. */
    @Test
    void shouldNotLoseWakeUpOfTheOnlyCompletion() throws Exception {
        long seed = System.nanoTime();
        System.out.println("seed " + seed);
        Random random = new Random(seed);
        try (WorkerPool pool = new WorkerPool(WorkerPoolConfig.DEFAULT.withThreads(1, 1))) {
            ClientLoop loop = new ClientLoop(pool);
            CountingTask task = new CountingTask();
            for (int round = 0; round < 20_000; round++) {
                task.isInFlight = true;
                task.submissions++;
                loop.client.submit(task);
                // About as long as a worker takes to wake up and complete.
                for (long untilNs = System.nanoTime() + random.nextInt(100_000); System.nanoTime() < untilNs; ) {
                    Thread.onSpinWait();
                }
                loop.drainAll();
            }
            assertThat(task.completions).isEqualTo(20_000);
        }
    }

    private static final class RandomLoop {
        private final ClientLoop loop;
        private final int maxThreads;
        private final Random random;
        private final List<CountingTask> tasks = new ArrayList<>();

        RandomLoop(WorkerPool pool, int maxThreads, Random random) {
            loop = new ClientLoop(pool);
            this.maxThreads = maxThreads;
            this.random = random;
            for (int i = 0; i < TASKS_PER_LOOP; i++) {
                tasks.add(new CountingTask());
            }
        }

        boolean run(boolean closes, boolean finishesQueued) throws InterruptedException {
            for (int round = 0; round < ROUNDS; round++) {
                step();
                long state = loop.pool.state();
                assertThat(WorkerPoolState.isSound(state, maxThreads))
                        .as(WorkerPoolState.describe(state))
                        .isTrue();
                assertThat(WorkerPoolState.threads(state)).isLessThanOrEqualTo(maxThreads);
                if (closes && round == ROUNDS / 2) {
                    loop.pool.close(finishesQueued);
                }
            }
            loop.drainAll();
            for (CountingTask task : tasks) {
                assertThat(task.completions).isEqualTo(task.submissions);
                assertThat(task.runs.get() + task.cancellations).isEqualTo(task.submissions);
            }
            return true;
        }

        private void step() throws InterruptedException {
            CountingTask task = tasks.get(random.nextInt(TASKS_PER_LOOP));
            switch (random.nextInt(8)) {
                case 0 -> {
                    if (loop.client.inFlight() > 0 && loop.client.drainCompletions(4) == 0) {
                        loop.block();
                    }
                }
                case 1 -> loop.drainAll();
                case 2 -> {
                    if (task.isInFlight) {
                        loop.client.cancel(task);
                    }
                }
                case 3 -> loop.client.drainCompletions(1 + random.nextInt(8));
                default -> {
                    if (!task.isInFlight) {
                        task.isInFlight = true;
                        task.submissions++;
                        task.parkNs = random.nextInt(16) == 0 ? 20_000 : 0;
                        loop.client.submit(task);
                    }
                }
            }
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.worker;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.sun.management.ThreadMXBean;
import dev.vublk.emulator.coroutine.SingleThreadLoop;
import dev.vublk.emulator.linux.CpuAffinity;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@Timeout(120)
class WorkerPoolTest {
    private static final int LONG_MS = 600_000;
    private static final WorkerPoolConfig CONFIG =
            WorkerPoolConfig.DEFAULT.withName("test").withIdleTimeoutMs(LONG_MS);

    private final RecordingThreadFactory factory = new RecordingThreadFactory();

    private static List<BlockingTask> submitBlocking(ClientLoop loop, int count, int maxThreads) {
        List<BlockingTask> tasks = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            BlockingTask task = new BlockingTask(i);
            tasks.add(task);
            loop.client.submit(task);
            long state = loop.pool.state();
            assertThat(WorkerPoolState.isSound(state, maxThreads))
                    .as(WorkerPoolState.describe(state))
                    .isTrue();
        }
        return tasks;
    }

    @ParameterizedTest
    @CsvSource({"64,64", "512,64", "512,512"})
    void shouldRunBurstConcurrentlyUpToMaxWithoutCreatingThreadsInSubmitter(int count, int maxThreads)
            throws Exception {
        try (WorkerPool pool = new WorkerPool(CONFIG.withThreads(0, maxThreads), factory)) {
            ClientLoop loop = new ClientLoop(pool);

            List<BlockingTask> tasks = submitBlocking(loop, count, maxThreads);

            // None of the first is let go before all of them run.
            for (BlockingTask task : tasks.subList(0, maxThreads)) {
                task.running.await();
            }
            assertThat(tasks.stream().mapToInt(task -> task.runs.get()).sum()).isEqualTo(maxThreads);
            assertThat(pool.stats().threads()).isEqualTo(maxThreads);
            tasks.forEach(task -> task.mayEnd.countDown());
            loop.drainAll();
            for (int i = 0; i < count; i++) {
                assertThat(tasks.get(i).runs).hasValue(1);
                assertThat(tasks.get(i).results).containsExactly(i);
                assertThat(tasks.get(i).completers).containsExactly(Thread.currentThread());
            }
            assertThat(factory.created).hasSize(maxThreads);
            assertThat(factory.creators).doesNotContain(Thread.currentThread());
            WorkerPoolStats stats = pool.stats();
            assertThat(stats.completed()).isEqualTo(count);
            assertThat(stats.createdThreads()).isEqualTo(maxThreads);
            assertThat(stats.waitNs().getTotalCount()).isEqualTo(count);
            assertThat(stats.spawnNs().getTotalCount()).isEqualTo(maxThreads);
        }
        assertThat(factory.created).noneMatch(Thread::isAlive);
    }

    @Test
    void shouldCreateFurtherWorkersInThoseThatStart() throws Exception {
        CountDownLatch allSubmitted = new CountDownLatch(1);
        CountDownLatch allRunning = new CountDownLatch(1);
        ThreadFactory slow = body -> {
            awaitLatch(allSubmitted);
            boolean isSpawner = Thread.currentThread().getName().equals("test-spawner");
            if (isSpawner && !factory.created.isEmpty()) {
                // The spawner hangs at its second: the chain goes on without it.
                awaitLatch(allRunning);
            }
            return factory.newThread(body);
        };
        try (WorkerPool pool = new WorkerPool(CONFIG, slow)) {
            ClientLoop loop = new ClientLoop(pool);
            List<BlockingTask> tasks = submitBlocking(loop, 64, 64);

            allSubmitted.countDown();
            for (BlockingTask task : tasks.subList(0, 63)) {
                task.running.await();
            }
            assertThat(factory.creators.subList(1, 63)).isEqualTo(factory.created.subList(0, 62));
            allRunning.countDown();
            tasks.forEach(task -> task.mayEnd.countDown());
            loop.drainAll();

            assertThat(factory.creators.getFirst().getName()).isEqualTo("test-spawner");
        }
    }

    @Test
    void shouldNotCreateWorkersForTasksThatOthersHaveTaken() throws Exception {
        CountDownLatch mayCreate = new CountDownLatch(1);
        CountDownLatch secondAsked = new CountDownLatch(1);
        ThreadFactory slow = body -> {
            if (!factory.created.isEmpty()) {
                secondAsked.countDown();
                awaitLatch(mayCreate);
            }
            return factory.newThread(body);
        };
        try (WorkerPool pool = new WorkerPool(CONFIG, slow)) {
            ClientLoop loop = new ClientLoop(pool);
            List<BlockingTask> first = submitBlocking(loop, 1, 64);
            first.getFirst().running.await();
            List<BlockingTask> others = submitBlocking(loop, 5, 64);
            secondAsked.await();
            others.forEach(task -> task.mayEnd.countDown());

            first.getFirst().mayEnd.countDown();
            loop.drainAll();
            mayCreate.countDown();

            pool.close(true);
            assertThat(factory.created).hasSize(2);
        }
    }

    @Test
    void shouldGiveWorkersThePoolsAffinityWhoeverSubmits() throws Exception {
        CpuAffinity all = CpuAffinity.ofCallingThread();
        assumeTrue(all.count() >= 2, "needs two CPUs");
        CpuAffinity submitters = CpuAffinity.of(all.first());
        CpuAffinity workers = all.without(all.first());
        try (WorkerPool pinned = new WorkerPool(CONFIG.withAffinity(workers), factory);
                WorkerPool inheriting = new WorkerPool(CONFIG, factory)) {
            Thread submitter = Thread.ofPlatform().start(() -> {
                assertThat(submitters.applyToCallingThread()).isZero();
                assertThat(affinitiesIn(pinned)).hasSize(16).containsOnly(workers);
                assertThat(affinitiesIn(inheriting)).hasSize(16).containsOnly(all);
                assertThat(CpuAffinity.ofCallingThread()).isEqualTo(submitters);
                factory.creators.forEach(creator -> assertThat(creator).isNotEqualTo(Thread.currentThread()));
            });
            AtomicInteger failures = new AtomicInteger();
            submitter.setUncaughtExceptionHandler((thread, e) -> {
                e.printStackTrace();
                failures.incrementAndGet();
            });
            submitter.join();
            assertThat(failures).hasValue(0);
        }
    }

    private static List<CpuAffinity> affinitiesIn(WorkerPool pool) {
        List<CpuAffinity> seen = new ArrayList<>();
        CyclicBarrier together = new CyclicBarrier(16);
        ClientLoop loop = new ClientLoop(pool);
        for (int i = 0; i < 16; i++) {
            loop.client.submit(BlockingTask.running(() -> {
                awaitBarrier(together);
                synchronized (seen) {
                    seen.add(CpuAffinity.ofCallingThread());
                }
                return 0;
            }));
        }
        try {
            loop.drainAll();
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
        return seen;
    }

    @Test
    void shouldRefuseAffinityThatTheMachineDoesNotHave() {
        assertThatThrownBy(() -> new WorkerPool(CONFIG.withAffinity(CpuAffinity.of(8191)), factory))
                .hasMessageContaining("8191")
                .hasMessageContaining("errno 22");
    }

    @Test
    void shouldLetIdleWorkersLeaveAndCreateThemAgain() throws Exception {
        try (WorkerPool pool = new WorkerPool(CONFIG.withIdleTimeoutMs(1), factory)) {
            ClientLoop loop = new ClientLoop(pool);
            for (int round = 1; round <= 3; round++) {
                List<BlockingTask> tasks = submitBlocking(loop, 8, 64);
                for (BlockingTask task : tasks) {
                    task.running.await();
                }
                tasks.forEach(task -> task.mayEnd.countDown());
                loop.drainAll();
                for (Thread worker : factory.created) {
                    worker.join();
                }
                assertThat(pool.stats().threads()).isZero();
                assertThat(factory.created).hasSize(8 * round);
            }
        }
    }

    @Test
    void shouldHaveMinWorkersFromTheBeginningAndKeepThem() throws Exception {
        try (WorkerPool pool = new WorkerPool(CONFIG.withThreads(3, 16).withIdleTimeoutMs(1), factory)) {
            assertThat(factory.created).hasSize(3).allMatch(Thread::isAlive);
            ClientLoop loop = new ClientLoop(pool);
            List<BlockingTask> tasks = submitBlocking(loop, 16, 16);
            for (BlockingTask task : tasks) {
                task.running.await();
            }
            tasks.forEach(task -> task.mayEnd.countDown());
            loop.drainAll();

            // Thirteen leave. Any: so wait until at most three live, and see that those stay usable.
            awaitAlive(factory.created, 3);

            assertThat(pool.stats().threads()).isEqualTo(3);
            while (pool.stats().idleThreads() < 3) {
                Thread.onSpinWait();
            }
            // As when two of four find at the same time that their time is over: one too many would leave.
            assertThat(pool.tryUncountIdle()).isFalse();
            List<BlockingTask> again = submitBlocking(loop, 3, 16);
            for (BlockingTask task : again) {
                task.running.await();
                task.mayEnd.countDown();
            }
            loop.drainAll();
            assertThat(factory.created).hasSize(16);
        }
    }

    private static void awaitAlive(List<Thread> threads, int count) throws InterruptedException {
        List<Thread> alive = new ArrayList<>(threads);
        while (alive.size() > count) {
            for (Thread thread : List.copyOf(alive)) {
                if (thread.join(java.time.Duration.ofMillis(1))) {
                    alive.remove(thread);
                }
            }
        }
        assertThat(alive).hasSize(count);
    }

    @Test
    void shouldWakeAnIdleWorkerRatherThanCreateOne() throws Exception {
        try (WorkerPool pool = new WorkerPool(CONFIG.withThreads(1, 16), factory)) {
            ClientLoop loop = new ClientLoop(pool);
            for (int i = 0; i < 100; i++) {
                // The worker parks some time after the completion: wait for that, or a second would rightly be created.
                while (pool.stats().idleThreads() == 0) {
                    Thread.onSpinWait();
                }
                loop.client.submit(BlockingTask.running(() -> 0));
                loop.drainAll();
            }
            assertThat(factory.created).hasSize(1);
        }
    }

    @Test
    void shouldCancelWhatHasNotStartedOnly() throws Exception {
        try (WorkerPool pool = new WorkerPool(CONFIG.withThreads(0, 1), factory)) {
            ClientLoop loop = new ClientLoop(pool);
            List<BlockingTask> tasks = submitBlocking(loop, 3, 1);
            tasks.get(0).running.await();

            assertThat(loop.client.cancel(tasks.get(0))).isFalse();
            assertThat(loop.client.cancel(tasks.get(1))).isTrue();
            assertThat(loop.client.cancel(tasks.get(1))).isFalse();

            // At once, although the only worker is stuck; and by the loop's drain, not from within cancel.
            assertThat(tasks.get(1).results).isEmpty();
            assertThat(loop.client.hasCompletions()).isTrue();
            assertThat(loop.client.drainCompletions(10)).isEqualTo(1);
            assertThat(tasks.get(1).results).containsExactly(-WorkerPool.ECANCELED);
            tasks.forEach(task -> task.mayEnd.countDown());
            loop.drainAll();
            assertThat(tasks.get(1).runs).hasValue(0);
            assertThat(tasks.get(2).results).containsExactly(2);
        }
    }

    @Test
    void shouldRunTaskOnceThatIsSubmittedAgainAfterCancellation() throws Exception {
        try (WorkerPool pool = new WorkerPool(CONFIG.withThreads(0, 1), factory)) {
            ClientLoop loop = new ClientLoop(pool);
            BlockingTask blocker = submitBlocking(loop, 1, 1).getFirst();
            blocker.running.await();
            BlockingTask task = BlockingTask.running(() -> 7);

            for (int i = 0; i < 3; i++) {
                loop.client.submit(task);
                assertThat(loop.client.cancel(task)).isTrue();
                loop.client.drainCompletions(10);
            }
            loop.client.submit(task);
            blocker.mayEnd.countDown();
            loop.drainAll();
            pool.close(true);

            assertThat(task.runs).hasValue(1);
            assertThat(task.results).containsExactly(-125, -125, -125, 7);
            assertThat(pool.stats().waitNs().getTotalCount()).isEqualTo(2);
        }
    }

    @Test
    void shouldRefuseTaskThatIsInFlightAndTaskOfOthers() throws Exception {
        try (WorkerPool pool = new WorkerPool(CONFIG.withThreads(0, 1), factory)) {
            ClientLoop a = new ClientLoop(pool);
            ClientLoop b = new ClientLoop(pool);
            BlockingTask task = submitBlocking(a, 1, 1).getFirst();
            task.running.await();

            assertThatThrownBy(() -> a.client.submit(task)).isInstanceOf(IllegalStateException.class);
            assertThatThrownBy(() -> b.client.cancel(task)).isInstanceOf(IllegalArgumentException.class);
            assertThatThrownBy(a.client::close).hasMessageContaining("in flight");
            task.mayEnd.countDown();
            a.drainAll();
            a.client.close();
            assertThat(pool.stats().completed()).isEqualTo(1);
        }
    }

    @Test
    void shouldServeClientsInOrderOfSubmission() throws Exception {
        try (WorkerPool pool = new WorkerPool(CONFIG.withThreads(0, 1), factory)) {
            ClientLoop a = new ClientLoop(pool);
            ClientLoop b = new ClientLoop(pool);
            BlockingTask blocker = submitBlocking(a, 1, 1).getFirst();
            blocker.running.await();
            List<Integer> order = new ArrayList<>();
            List<Integer> expected = new ArrayList<>();
            for (int i = 0; i < 600; i++) {
                int number = i;
                (i % 3 == 0 ? a : b).client.submit(BlockingTask.running(() -> {
                    order.add(number);
                    return 0;
                }));
                expected.add(i);
            }
            assertThat(pool.stats().longestQueue()).isEqualTo(600);

            blocker.mayEnd.countDown();
            a.drainAll();
            b.drainAll();

            assertThat(order).isEqualTo(expected);
        }
    }

    @Test
    void shouldWakeTheLoopOnceForManyCompletionsAndNotWhileAwake() throws Exception {
        try (WorkerPool pool = new WorkerPool(CONFIG.withThreads(0, 4), factory)) {
            ClientLoop loop = new ClientLoop(pool);
            List<BlockingTask> tasks = submitBlocking(loop, 40, 4);
            for (BlockingTask task : tasks.subList(0, 20)) {
                task.mayEnd.countDown();
            }
            tasks.get(20).running.await();
            assertThat(loop.wakeUps).hasValue(0);
            while (loop.client.completed() < 20) {
                loop.client.drainCompletions(64);
            }

            assertThat(loop.client.prepareToBlock()).isTrue();
            tasks.forEach(task -> task.mayEnd.countDown());
            pool.close(true);

            assertThat(loop.wakeUps).hasValue(1);
            assertThat(loop.client.prepareToBlock()).isFalse();
            assertThat(loop.client.drainCompletions(5)).isEqualTo(5);
            assertThat(loop.client.drainCompletions(64)).isEqualTo(15);
            assertThat(loop.client.hasCompletions()).isFalse();
        }
    }

    @Test
    void shouldTakeCompletionsByOneTaskOnCoroutineLoop() throws Exception {
        SingleThreadLoop loop = new SingleThreadLoop();
        WorkerPool pool = new WorkerPool(CONFIG.withThreads(0, 4), factory);
        WorkerClient client = pool.newClient(loop);
        List<BlockingTask> tasks = new ArrayList<>();
        for (int round = 0; round < 2; round++) {
            for (int i = 0; i < 20; i++) {
                BlockingTask task = BlockingTask.running(() -> 0);
                tasks.add(task);
                client.submit(task);
            }
            while (client.inFlight() > 0) {
                loop.runOneTask();
            }
        }
        for (int i = 0; i < 300; i++) {
            client.submit(BlockingTask.running(() -> 0));
        }
        pool.close(true);

        assertThat(loop.taskCount()).isEqualTo(1);
        loop.run();
        assertThat(client.inFlight()).isZero();
        assertThat(tasks).allSatisfy(task -> assertThat(task.results).containsExactly(0));
    }

    @Test
    void shouldTurnExceptionIntoEioAndKeepTheWorker() throws Exception {
        try (WorkerPool pool = new WorkerPool(CONFIG.withThreads(0, 1), factory)) {
            ClientLoop loop = new ClientLoop(pool);
            BlockingTask broken = BlockingTask.running(() -> {
                throw new IllegalStateException("expected by this test");
            });
            BlockingTask interrupting = BlockingTask.running(() -> {
                Thread.currentThread().interrupt();
                return 1;
            });
            BlockingTask after =
                    BlockingTask.running(() -> Thread.currentThread().isInterrupted() ? -1 : 2);

            loop.client.submit(broken);
            loop.client.submit(interrupting);
            loop.client.submit(after);
            loop.drainAll();

            assertThat(broken.results).containsExactly(-WorkerPool.EIO);
            assertThat(after.results).containsExactly(2);
            assertThat(factory.created).hasSize(1);
        }
    }

    @Test
    void shouldTryAgainWhenTheSystemRefusesThreads() throws Exception {
        AtomicInteger attempts = new AtomicInteger();
        ThreadFactory refusing = body -> {
            // Two attempts of three, the spawner's and the workers' alike.
            if (attempts.incrementAndGet() % 3 != 2) {
                throw new OutOfMemoryError("unable to create native thread; expected by this test");
            }
            return factory.newThread(body);
        };
        try (WorkerPool pool = new WorkerPool(CONFIG, refusing)) {
            ClientLoop loop = new ClientLoop(pool);
            List<BlockingTask> tasks = submitBlocking(loop, 3, 64);

            for (BlockingTask task : tasks) {
                task.running.await();
                assertThat(pool.stats().threads()).isEqualTo(3);
            }

            tasks.forEach(task -> task.mayEnd.countDown());
            loop.drainAll();
            assertThat(attempts.get()).isGreaterThanOrEqualTo(8);
        }
    }

    @Test
    void shouldCancelQueuedTasksWhenClosedAndWaitForRunningOnes() throws Exception {
        WorkerPool pool = new WorkerPool(CONFIG.withThreads(0, 2), factory);
        ClientLoop loop = new ClientLoop(pool);
        List<BlockingTask> tasks = submitBlocking(loop, 10, 2);
        tasks.get(0).running.await();
        tasks.get(1).running.await();
        Thread closer = Thread.ofPlatform().start(pool::close);
        while (loop.client.completed() < 8) {
            loop.client.drainCompletions(64);
        }
        assertThat(tasks.get(9).results).containsExactly(-WorkerPool.ECANCELED);
        assertThat(closer.isAlive()).isTrue();

        tasks.get(0).mayEnd.countDown();
        tasks.get(1).mayEnd.countDown();
        closer.join();
        loop.drainAll();

        assertThat(tasks.get(1).results).containsExactly(1);
        assertThat(factory.created).noneMatch(Thread::isAlive);
        BlockingTask late = new BlockingTask(0);
        loop.client.submit(late);
        loop.drainAll();
        assertThat(late.results).containsExactly(-WorkerPool.ECANCELED);
        pool.close();
    }

    @Test
    void shouldFinishQueuedTasksWhenClosedSo() throws Exception {
        WorkerPool pool = new WorkerPool(CONFIG.withThreads(0, 2), factory);
        ClientLoop loop = new ClientLoop(pool);
        List<BlockingTask> tasks = submitBlocking(loop, 10, 2);
        tasks.forEach(task -> task.mayEnd.countDown());

        pool.close(true);

        loop.drainAll();
        assertThat(tasks).allSatisfy(task -> assertThat(task.runs).hasValue(1));
        assertThat(pool.stats().threads()).isZero();
    }

    @Test
    void shouldSubmitAndDrainWithoutGarbageOnceWarm() {
        try (WorkerPool pool = new WorkerPool(CONFIG.withThreads(1, 1), factory)) {
            WorkerClient client = pool.newClient(() -> {});
            List<WorkerTask> tasks = new ArrayList<>();
            for (int i = 0; i < 16; i++) {
                tasks.add(new NoopTask());
            }
            for (int i = 0; i < 2000; i++) {
                submitAndDrain(client, tasks);
            }
            ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
            long before = threads.getCurrentThreadAllocatedBytes();

            for (int i = 0; i < 1000; i++) {
                submitAndDrain(client, tasks);
            }

            // The bean itself allocates a little; 16 000 calls that allocated anything would show.
            assertThat(threads.getCurrentThreadAllocatedBytes() - before).isLessThan(10_000);
        }
    }

    private static final class NoopTask extends WorkerTask {
        @Override
        protected int run() {
            return 0;
        }

        @Override
        protected void onComplete(int taskResult) {
            // nothing to do
        }
    }

    private static void submitAndDrain(WorkerClient client, List<WorkerTask> tasks) {
        for (int i = 0; i < tasks.size(); i++) {
            client.submit(tasks.get(i));
        }
        while (client.inFlight() > 0) {
            if (client.drainCompletions(64) == 0) {
                Thread.onSpinWait();
            }
        }
    }

    @Test
    void shouldRefuseSenselessConfigurations() {
        assertThatThrownBy(() -> CONFIG.withThreads(0, 0)).hasMessageContaining("maxThreads");
        assertThatThrownBy(() -> CONFIG.withThreads(0, 5000)).hasMessageContaining("maxThreads");
        assertThatThrownBy(() -> CONFIG.withThreads(3, 2)).hasMessageContaining("minThreads");
        assertThatThrownBy(() -> CONFIG.withIdleTimeoutMs(-1)).hasMessageContaining("idleTimeoutMs");
    }

    @Test
    void shouldCountWithoutOneFieldTouchingAnother() {
        long state = 2047 * WorkerPoolState.ONE_THREAD
                + 2046 * WorkerPoolState.ONE_IDLE
                + 2045 * WorkerPoolState.ONE_COMING
                + 268_435_455 * WorkerPoolState.ONE_UNCLAIMED;
        for (long closed : new long[] {0, WorkerPoolState.CLOSED}) {
            assertThat(WorkerPoolState.threads(state | closed)).isEqualTo(2047);
            assertThat(WorkerPoolState.idle(state | closed)).isEqualTo(2046);
            assertThat(WorkerPoolState.coming(state | closed)).isEqualTo(2045);
            assertThat(WorkerPoolState.unclaimed(state | closed)).isEqualTo(268_435_455);
            assertThat(WorkerPoolState.isClosed(state | closed)).isEqualTo(closed != 0);
            assertThat(WorkerPoolState.unclaimed(WorkerPoolState.withoutUnclaimed(state)))
                    .isZero();
        }
    }

    @Test
    void shouldKnowDistinctWorkersByName() throws Exception {
        try (WorkerPool pool = new WorkerPool(CONFIG.withName("blk").withThreads(0, 3))) {
            ClientLoop loop = new ClientLoop(pool);
            ConcurrentLinkedQueue<String> names = new ConcurrentLinkedQueue<>();
            CyclicBarrier together = new CyclicBarrier(3);
            for (int i = 0; i < 3; i++) {
                loop.client.submit(BlockingTask.running(() -> {
                    names.add(Thread.currentThread().getName());
                    awaitBarrier(together);
                    return 0;
                }));
            }
            loop.drainAll();
            Set<String> distinct = new HashSet<>(names);
            assertThat(distinct).containsExactlyInAnyOrder("blk-0", "blk-1", "blk-2");
            assertThat(pool).asString().startsWith("blk: 3 threads");
        }
    }

    private static void awaitLatch(CountDownLatch latch) {
        try {
            latch.await();
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }

    private static void awaitBarrier(CyclicBarrier barrier) {
        try {
            barrier.await(60, TimeUnit.SECONDS);
        } catch (Exception e) {
            throw new AssertionError(e);
        }
    }
}

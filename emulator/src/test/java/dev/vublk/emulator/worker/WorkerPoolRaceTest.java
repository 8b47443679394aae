// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.worker;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.emulator.worker.WorkerPool.Next;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Interleavings that are too rare for the stress test, played step by step: the test is all workers itself. */
@Timeout(60)
class WorkerPoolRaceTest {
    private final BlockingQueue<Worker> workers = new LinkedBlockingQueue<>();
    /** The thread hands its worker to the test and ends: it is started only when the worker has its place. */
    private final WorkerPool pool = new WorkerPool(
            WorkerPoolConfig.DEFAULT.withThreads(0, 2),
            body -> Thread.ofPlatform().unstarted(() -> workers.add((Worker) body)));

    private final WorkerClient client = pool.newClient(() -> {});

    @SuppressWarnings("NullAway.Init") // by park()
    private Worker first;

    @SuppressWarnings("NullAway.Init") // by park()
    private Worker second;

    /** Two workers that have done something and are parked. */
    @BeforeEach
    void park() throws InterruptedException {
        client.submit(BlockingTask.running(() -> 0));
        client.submit(BlockingTask.running(() -> 0));
        first = workers.take();
        second = workers.take();
        if (first.slot() > second.slot()) { // Their threads started in any order; wakers choose the lower place.
            Worker higher = first;
            first = second;
            second = higher;
        }
        for (Worker worker : new Worker[] {first, second}) {
            assertThat(pool.findWork(worker, true)).isEqualTo(Next.TASK);
            pool.runOneTask();
        }
        assertThat(pool.findWork(first, false)).isEqualTo(Next.IDLE);
        assertThat(pool.findWork(second, false)).isEqualTo(Next.IDLE);
        assertThat(client.drainCompletions(2)).isEqualTo(2);
    }

    private void assertState(String expected) {
        assertThat(WorkerPoolState.describe(pool.state())).isEqualTo(expected);
    }

    @Test
    void shouldWakeAnotherWhenTheOneThatLeavesWasChosen() {
        assertThat(pool.tryUncountIdle()).isTrue();
        client.submit(BlockingTask.running(() -> 0));
        assertThat(pool.slots().isParked(first.slot()))
                .as("the waker chose the first")
                .isFalse();

        pool.withdraw(first);

        assertThat(pool.slots().isParked(second.slot())).isFalse();
        assertState("1 threads, 0 idle, 1 coming, 1 unclaimed");
        assertThat(pool.findWork(second, true)).isEqualTo(Next.TASK);
    }

    @Test
    void shouldJustLeaveWhenNobodyWasChosen() {
        assertThat(pool.tryUncountIdle()).isTrue();

        pool.withdraw(first);

        assertThat(pool.slots().isParked(first.slot())).isFalse();
        assertThat(pool.slots().isParked(second.slot())).isTrue();
        assertState("1 threads, 1 idle, 0 coming, 0 unclaimed");
    }

    @Test
    void shouldNotLeaveWhenTheLastIdleOneIsAboutToBeWoken() {
        client.submit(BlockingTask.running(() -> 0));
        client.submit(BlockingTask.running(() -> 0));

        assertThat(pool.tryUncountIdle()).isFalse();

        assertState("2 threads, 0 idle, 2 coming, 2 unclaimed");
        assertThat(pool.slots().isParked(first.slot())).isFalse();
        assertThat(pool.slots().isParked(second.slot())).isFalse();
    }

    @Test
    void shouldWakeAnotherWhenTheOneThatDoesNotParkAfterAllWasChosen() {
        client.submit(BlockingTask.running(() -> 0));
        assertThat(pool.findWork(first, true)).isEqualTo(Next.TASK);
        pool.runOneTask();
        // As in findWork: the bit is set before the count; meanwhile a task comes, and the count cannot be raised.
        pool.slots().setParked(first.slot());
        client.submit(BlockingTask.running(() -> 0));
        assertThat(pool.slots().isParked(first.slot()))
                .as("the waker chose the first")
                .isFalse();

        pool.withdraw(first);

        assertThat(pool.slots().isParked(second.slot())).isFalse();
        assertThat(pool.findWork(second, true)).isEqualTo(Next.TASK);
        assertState("2 threads, 0 idle, 0 coming, 0 unclaimed");
    }

    @Test
    void shouldWakeWorkerThatIsComingOnlyOnce() {
        client.submit(BlockingTask.running(() -> 0));
        assertState("2 threads, 1 idle, 1 coming, 1 unclaimed");
        assertThat(pool.slots().isParked(second.slot())).isTrue();

        // A busy one was faster: the woken one finds nothing and parks again.
        assertThat(pool.findWork(second, false)).isEqualTo(Next.TASK);
        assertThat(pool.findWork(first, true)).isEqualTo(Next.IDLE);
    }
}

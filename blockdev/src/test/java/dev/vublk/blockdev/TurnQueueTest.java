// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.IoContext.WaitQueue;
import java.util.ArrayDeque;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(30)
class TurnQueueTest {
    /** Threads that take turns, as coroutines of a loop do: one that is woken goes on when the test lets it. */
    private static final class ScriptedQueue implements WaitQueue {
        private final ArrayDeque<CountDownLatch> waiting = new ArrayDeque<>();
        private final ArrayDeque<CountDownLatch> woken = new ArrayDeque<>();

        @Override
        public void await() {
            CountDownLatch latch = new CountDownLatch(1);
            synchronized (this) {
                waiting.add(latch);
                notifyAll();
            }
            try {
                latch.await();
            } catch (InterruptedException e) {
                throw new AssertionError(e);
            }
        }

        @Override
        public synchronized void wakeOne() {
            woken.add(waiting.remove());
        }

        private synchronized void letOneGoOn() {
            woken.remove().countDown();
        }

        private synchronized void awaitWaiting(int count) throws InterruptedException {
            while (waiting.size() < count) {
                wait();
            }
        }

        @Override
        public synchronized boolean isEmpty() {
            return waiting.isEmpty();
        }

        @Override
        public void wakeAll() {
            throw new AssertionError();
        }

        @Override
        public void wakeAllFromAnyThread() {
            throw new AssertionError();
        }
    }

    private final ScriptedQueue queue = new ScriptedQueue();
    private final TurnQueue turns = new TurnQueue(() -> queue);
    private final AtomicInteger free = new AtomicInteger();

    private Thread take() {
        return Thread.ofPlatform().start(() -> {
            turns.await(free.get());
            free.decrementAndGet();
        });
    }

    private void giveBack() {
        free.incrementAndGet();
        turns.onFree();
    }

    @Test
    void shouldLetNobodyWaitWhileSomethingIsLeft() {
        free.set(2);
        turns.await(2);
        free.decrementAndGet();
        giveBack();
        turns.await(2);
        assertThat(queue.isEmpty()).isTrue();
    }

    /** What was given back belongs to the one who waited, though it has not come round yet. */
    @Test
    void shouldKeepWhatIsPromised() throws Exception {
        Thread first = take();
        queue.awaitWaiting(1);
        giveBack();
        Thread late = take();
        queue.awaitWaiting(1);
        assertThat(free).hasValue(1);

        queue.letOneGoOn();
        first.join();
        assertThat(free).hasValue(0);
        giveBack();
        queue.letOneGoOn();
        late.join();

        giveBack();
        turns.await(1);
    }

    /** One who does not want it any more lets the next one have it. */
    @Test
    void shouldPassOnWhatIsNotTaken() throws Exception {
        Thread gone = Thread.ofPlatform().start(() -> {
            turns.await(free.get());
            turns.onFree();
        });
        queue.awaitWaiting(1);
        Thread second = take();
        queue.awaitWaiting(2);
        giveBack();
        queue.letOneGoOn();
        gone.join();
        queue.letOneGoOn();
        second.join();
        assertThat(free).hasValue(0);
    }
}

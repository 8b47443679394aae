// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.coroutine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletionException;
import org.junit.jupiter.api.Test;

/** How coroutines of one loop wait for each other: queue, mutex, read-write lock, future, gate. */
class CoroutineSyncTest {
    private final SingleThreadLoop loop = new SingleThreadLoop();
    private final List<String> log = new ArrayList<>();

    @Test
    void queueShouldWakeInOrderOfArrival() {
        CoroutineQueue queue = new CoroutineQueue(loop);
        for (String name : List.of("a", "b", "c")) {
            loop.start(() -> {
                queue.await();
                log.add(name);
            });
        }

        queue.wakeOne();
        loop.run();
        assertThat(log).containsExactly("a");
        queue.wakeAll();
        loop.run();
        assertThat(log).containsExactly("a", "b", "c");
        assertThat(queue.isEmpty()).isTrue();
        queue.wakeOne();
        queue.wakeAll();
        assertThat(loop.readyCount()).isZero();
    }

    @Test
    void queueShouldWakeAllOnlyThoseWhoWaitAlready() {
        CoroutineQueue queue = new CoroutineQueue(loop);
        for (int i = 0; i < 2; i++) {
            loop.start(() -> {
                queue.await();
                log.add("first");
                queue.await();
                log.add("second");
            });
        }

        queue.wakeAll();
        loop.run();

        assertThat(log).containsExactly("first", "first");
        assertThat(queue.isEmpty()).isFalse();
    }

    @Test
    void queueShouldWakeAllFromAnyThreadByOneTask() throws Exception {
        CoroutineQueue queue = new CoroutineQueue(loop);
        loop.start(() -> {
            queue.await();
            log.add("woken");
        });

        Thread other = Thread.ofPlatform().start(() -> {
            queue.wakeAllFromAnyThread();
            queue.wakeAllFromAnyThread();
        });
        other.join();

        assertThat(loop.taskCount()).isEqualTo(1);
        loop.run();
        assertThat(log).containsExactly("woken");
        queue.wakeAllFromAnyThread();
        assertThat(loop.taskCount()).isEqualTo(1);
    }

    @Test
    void mutexShouldBeHandedOverInOrderAndNotBeOvertaken() {
        CoroutineMutex mutex = new CoroutineMutex(loop);
        CoroutineQueue disk = new CoroutineQueue(loop);
        for (String name : List.of("a", "b", "c")) {
            loop.start(() -> {
                mutex.lock();
                log.add(name + " in");
                disk.await();
                log.add(name + " out");
                mutex.unlock();
            });
        }
        assertThat(log).containsExactly("a in");

        disk.wakeOne();
        loop.start(() -> assertThat(mutex.tryLock()).isFalse());
        loop.run();
        assertThat(log).containsExactly("a in", "a out", "b in");
        disk.wakeOne();
        loop.run();
        disk.wakeOne();
        loop.run();

        assertThat(log).containsExactly("a in", "a out", "b in", "b out", "c in", "c out");
        assertThat(mutex.isLocked()).isFalse();
    }

    @Test
    void mutexShouldNotBeOvertakenBetweenHandOverAndResumption() {
        CoroutineMutex mutex = new CoroutineMutex(loop);
        CoroutineQueue never = new CoroutineQueue(loop);
        CoroutineQueue disk = new CoroutineQueue(loop);
        loop.start(() -> {
            mutex.lock();
            disk.await();
            mutex.unlock();
            // Runs before the one that was handed the mutex.
            assertThat(mutex.tryLock()).isFalse();
            log.add("tried");
        });
        loop.start(() -> {
            mutex.lock();
            log.add("handed over");
            never.await();
        });

        disk.wakeOne();
        loop.run();

        assertThat(log).containsExactly("tried", "handed over");
    }

    @Test
    void mutexShouldRefuseMisuse() {
        CoroutineMutex mutex = new CoroutineMutex(loop);
        loop.start(() -> {
            assertThatThrownBy(mutex::unlock).hasMessageContaining("does not hold");
            mutex.lock();
            assertThatThrownBy(mutex::lock).hasMessageContaining("wait for itself");
        });
        loop.start(() -> assertThatThrownBy(mutex::unlock).hasMessageContaining("does not hold"));
        assertThatThrownBy(mutex::lock).hasMessageContaining("not in a coroutine");
    }

    private void read(CoroutineRwLock lock, CoroutineQueue disk, String name) {
        loop.start(() -> {
            lock.lockRead();
            log.add(name + " in");
            disk.await();
            log.add(name + " out");
            lock.unlockRead();
        });
    }

    private void write(CoroutineRwLock lock, CoroutineQueue disk, String name) {
        loop.start(() -> {
            lock.lockWrite();
            log.add(name + " in");
            disk.await();
            log.add(name + " out");
            lock.unlockWrite();
        });
    }

    @Test
    void rwLockShouldLetReadersShareAndServeInOrderOfArrival() {
        CoroutineRwLock lock = new CoroutineRwLock(loop);
        CoroutineQueue disk = new CoroutineQueue(loop);
        read(lock, disk, "r1");
        read(lock, disk, "r2");
        write(lock, disk, "w3");
        read(lock, disk, "r4");
        read(lock, disk, "r5");
        write(lock, disk, "w6");
        // r4 must not pass w3 although r1 and r2 read.
        assertThat(log).containsExactly("r1 in", "r2 in");

        disk.wakeOne();
        loop.run();
        assertThat(log).endsWith("r1 out");
        disk.wakeOne();
        loop.run();
        assertThat(log).endsWith("r2 out", "w3 in");
        disk.wakeAll();
        loop.run();
        assertThat(log).endsWith("w3 out", "r4 in", "r5 in");
        disk.wakeAll();
        loop.run();
        assertThat(log).endsWith("r4 out", "r5 out", "w6 in");
        disk.wakeAll();
        loop.run();
        loop.start(() -> assertThat(lock.tryLockWrite()).isTrue());
    }

    @Test
    void rwLockShouldRefuseTriesWhileOthersHoldOrWait() {
        CoroutineRwLock lock = new CoroutineRwLock(loop);
        CoroutineQueue disk = new CoroutineQueue(loop);
        read(lock, disk, "r1");
        loop.start(() -> {
            assertThat(lock.tryLockWrite()).isFalse();
            assertThat(lock.tryLockRead()).isTrue();
            lock.unlockRead();
        });
        write(lock, disk, "w2");
        loop.start(() -> assertThat(lock.tryLockRead()).isFalse());
        assertThat(log).containsExactly("r1 in");
        loop.start(() -> assertThatThrownBy(lock::unlockWrite).hasMessageContaining("does not write"));
    }

    @Test
    void rwLockShouldHoldItsRulesUnderRandomUse() {
        long seed = System.nanoTime();
        System.out.println("seed " + seed);
        Random random = new Random(seed);
        CoroutineRwLock lock = new CoroutineRwLock(loop);
        CoroutineQueue disk = new CoroutineQueue(loop);
        int[] holders = new int[2];
        int[] done = new int[1];
        for (int i = 0; i < 500; i++) {
            boolean writes = random.nextInt(3) == 0;
            int waits = random.nextInt(3);
            loop.start(() -> {
                if (writes) {
                    lock.lockWrite();
                } else {
                    lock.lockRead();
                }
                holders[writes ? 1 : 0]++;
                for (int k = 0; k <= waits; k++) {
                    assertThat(holders[1] == 0 || (holders[1] == 1 && holders[0] == 0))
                            .isTrue();
                    disk.await();
                }
                holders[writes ? 1 : 0]--;
                if (writes) {
                    lock.unlockWrite();
                } else {
                    lock.unlockRead();
                }
                done[0]++;
            });
            if (random.nextBoolean()) {
                disk.wakeOne();
                loop.run();
            }
        }
        while (!disk.isEmpty()) {
            disk.wakeOne();
            loop.run();
        }
        assertThat(done[0]).isEqualTo(500);
    }

    @Test
    void futureShouldNotSuspendWhenCompletedBefore() {
        CoroutineFuture<String> future = new CoroutineFuture<>(loop);
        assertThat(future.complete("result")).isTrue();
        assertThat(future.complete("other")).isFalse();
        assertThat(future.fail(new IOException())).isFalse();

        loop.start(() -> log.add(future.await()));

        assertThat(log).containsExactly("result");
    }

    @Test
    void futureShouldWakeItsCoroutineFromTheLoopAndFromOtherThreads() throws Exception {
        CoroutineFuture<String> fromLoop = new CoroutineFuture<>(loop);
        CoroutineFuture<String> fromThread = new CoroutineFuture<>(loop);
        loop.start(() -> {
            log.add(fromLoop.await());
            log.add(fromThread.await());
        });
        assertThat(log).isEmpty();

        fromLoop.complete("loop");
        loop.run();
        assertThat(log).containsExactly("loop");
        Thread other = Thread.ofPlatform().start(() -> fromThread.complete("thread"));
        loop.runOneTask();
        other.join();

        assertThat(log).containsExactly("loop", "thread");
    }

    @Test
    void futureShouldThrowWhatItFailedWith() {
        CoroutineFuture<String> future = new CoroutineFuture<>(loop);
        IOException reason = new IOException("disk on fire");
        loop.start(() -> assertThatThrownBy(future::await)
                .isInstanceOf(CompletionException.class)
                .hasCause(reason));

        future.fail(reason);
        loop.run();

        loop.start(() -> assertThatThrownBy(future::await).hasCause(reason));
    }

    @Test
    void futureShouldServeOneWaiterOnly() {
        CoroutineFuture<String> future = new CoroutineFuture<>(loop);
        loop.start(future::await);
        loop.start(() -> assertThatThrownBy(future::await).hasMessageContaining("another coroutine"));
    }

    @Test
    void futureShouldSurviveRacesOfCompletionAndWaiting() throws Exception {
        int rounds = 2000;
        List<CoroutineFuture<Integer>> futures = new ArrayList<>();
        for (int i = 0; i < rounds; i++) {
            futures.add(new CoroutineFuture<>(loop));
        }
        Thread other = Thread.ofPlatform().start(() -> {
            for (int i = 0; i < rounds; i++) {
                futures.get(i).complete(i);
            }
        });
        int[] sum = new int[2];
        loop.start(() -> {
            for (int i = 0; i < rounds; i++) {
                sum[0] += futures.get(i).await();
                sum[1]++;
            }
        });
        while (sum[1] < rounds) {
            loop.runOneTask();
        }
        other.join();
        assertThat(sum[0]).isEqualTo(rounds * (rounds - 1) / 2);
    }

    @Test
    void gateShouldDrainBeforeItLetsTheCloserGoOn() {
        CoroutineGate gate = new CoroutineGate(loop);
        CoroutineQueue disk = new CoroutineQueue(loop);
        for (int i = 0; i < 3; i++) {
            loop.start(() -> {
                assertThat(gate.tryEnter()).isTrue();
                disk.await();
                log.add("done");
                gate.leave();
            });
        }
        loop.start(() -> {
            gate.close();
            gate.awaitDrained();
            log.add("drained");
        });
        gate.whenDrained(() -> log.add("task"));
        assertThat(gate.tryEnter()).isFalse();
        assertThat(gate.inFlight()).isEqualTo(3);

        disk.wakeOne();
        disk.wakeOne();
        loop.run();
        assertThat(log).containsExactly("done", "done");
        disk.wakeOne();
        loop.run();

        assertThat(log).containsExactly("done", "done", "done", "task", "drained");
        gate.whenDrained(() -> log.add("at once"));
        assertThat(log).endsWith("at once");
        assertThatThrownBy(gate::leave).isInstanceOf(IllegalStateException.class);
        gate.open();
        assertThat(gate.tryEnter()).isTrue();
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.coroutine;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;
import java.lang.ref.WeakReference;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

class CoroutinePoolTest {
    private static final Runnable SUSPEND_ONCE = Coroutine::suspend;

    /** A loop's pool in a test: its tasks run when the test says so. */
    private static final class Member {
        final ConcurrentLinkedQueue<Runnable> tasks = new ConcurrentLinkedQueue<>();
        final AtomicInteger told = new AtomicInteger();
        final CoroutinePool pool;

        Member(GlobalCoroutinePool global) {
            pool = new CoroutinePool(global, tasks::add, told::incrementAndGet);
        }

        void runTasks() {
            for (Runnable task = tasks.poll(); task != null; task = tasks.poll()) {
                task.run();
            }
        }

        List<Coroutine> take(int count) {
            List<Coroutine> taken = new ArrayList<>();
            for (int i = 0; i < count; i++) {
                Coroutine coroutine = pool.take();
                assertThat(coroutine).as("coroutine %d", i).isNotNull();
                taken.add(coroutine);
            }
            return taken;
        }

        void releaseAll(List<Coroutine> taken) {
            taken.forEach(pool::release);
            taken.clear();
        }
    }

    @Test
    void shouldGiveBackTheCoroutineReleasedLast() {
        Member member = new Member(new GlobalCoroutinePool(4, 100));
        List<Coroutine> taken = member.take(3);

        member.pool.release(taken.get(1));

        assertThat(member.pool.take()).isSameAs(taken.get(1));
        assertThat(member.pool.created()).isEqualTo(3);
    }

    @Test
    void shouldCreateNothingOnceWarm() {
        Member member = new Member(new GlobalCoroutinePool(128, 10_000));
        member.releaseAll(member.take(1000));

        Set<Coroutine> again = new HashSet<>(member.take(1000));

        assertThat(again).hasSize(1000);
        assertThat(member.pool.created()).isEqualTo(1000);
    }

    @Test
    void shouldKeepTwoBatchesAndDonateTheRest() {
        GlobalCoroutinePool global = new GlobalCoroutinePool(128, 10_000);
        Member member = new Member(global);
        List<Coroutine> taken = member.take(1000);

        member.releaseAll(taken);

        assertThat(member.pool.pooled()).isLessThanOrEqualTo(256);
        assertThat(member.pool.pooled() + global.pooled()).isEqualTo(1000);
        assertThat(member.pool.alive()).isZero();
        assertThat(member.pool.peakAlive()).isEqualTo(1000);
    }

    @Test
    void shouldLetOneLoopUseWhatAnotherDonated() {
        GlobalCoroutinePool global = new GlobalCoroutinePool(128, 10_000);
        Member a = new Member(global);
        Member b = new Member(global);
        a.releaseAll(a.take(1024));

        b.take(700);

        assertThat(a.pool.created()).isEqualTo(1024);
        assertThat(b.pool.created()).isZero();
    }

    @Test
    void shouldReturnNullOnlyWhenAsManyExistAsMay() {
        GlobalCoroutinePool global = new GlobalCoroutinePool(4, 50);
        Member member = new Member(global);

        List<Coroutine> taken = member.take(50);

        assertThat(member.pool.canTake()).isFalse();
        assertThat(member.pool.take()).isNull();
        member.pool.release(taken.removeLast());
        assertThat(member.pool.canTake()).isTrue();
        assertThat(member.pool.take()).isNotNull();
        assertThat(global.accounted()).isEqualTo(50);
    }

    @Test
    void shouldGoOverTheLimitForTheLoopItselfOnly() {
        GlobalCoroutinePool global = new GlobalCoroutinePool(4, 20);
        Member member = new Member(global);
        member.take(20);

        Coroutine extra = member.pool.takeRegardless();

        assertThat(global.accounted()).isEqualTo(21);
        assertThat(member.pool.take()).isNull();
        member.pool.release(extra);
        assertThat(global.accounted()).as("it is not kept").isEqualTo(20);
        assertThat(member.pool.take()).isNull();
        assertThat(member.pool.takeRegardless()).isNotNull();
        assertThat(global.accounted()).isEqualTo(21);
    }

    @Test
    void shouldLetGoOfDroppedCoroutines() {
        Member member = new Member(new GlobalCoroutinePool(16, 10_000));
        List<Coroutine> taken = member.take(200);
        List<WeakReference<Coroutine>> all = new ArrayList<>();
        taken.forEach(coroutine -> all.add(new WeakReference<>(coroutine)));
        member.releaseAll(taken);

        member.pool.shrink();
        member.pool.shrink();
        System.gc();

        assertThat(all.stream().filter(reference -> reference.get() != null)).hasSize(CoroutinePool.KEEP_MIN);
    }

    @Test
    void shouldKeepPromiseOfCanTakeWhenAnotherLoopTakesTheLast() {
        GlobalCoroutinePool global = new GlobalCoroutinePool(4, 60);
        Member a = new Member(global);
        Member b = new Member(global);
        a.take(43);

        assertThat(a.pool.canTake()).isTrue();
        while (b.pool.take() != null) {
            // takes whatever is left
        }

        assertThat(a.pool.take()).isNotNull();
        assertThat(a.pool.take()).isNull();
    }

    @Test
    void shouldGuaranteeReservedCoroutinesToEachLoop() {
        GlobalCoroutinePool global = new GlobalCoroutinePool(4, 40);
        Member greedy = new Member(global);
        Member late = new Member(global);
        while (greedy.pool.take() != null) {
            // takes whatever it can get
        }

        late.take(GlobalCoroutinePool.RESERVED_PER_LOOP);

        assertThat(late.pool.take()).isNull();
        assertThat(greedy.pool.alive()).isEqualTo(40 - GlobalCoroutinePool.RESERVED_PER_LOOP);
        assertThat(global.accounted()).isEqualTo(40);
    }

    @Test
    void shouldAskIdleLoopToDonateWhenAnotherIsHungry() {
        GlobalCoroutinePool global = new GlobalCoroutinePool(128, 200);
        Member hoarder = new Member(global);
        Member hungry = new Member(global);
        hoarder.releaseAll(hoarder.take(184));
        List<Coroutine> taken = hungry.take(GlobalCoroutinePool.RESERVED_PER_LOOP);
        assertThat(hungry.pool.take()).isNull();

        hoarder.runTasks();
        assertThat(hungry.told).hasValue(0);
        hungry.runTasks();

        assertThat(hungry.told).hasValue(1);
        taken.addAll(hungry.take(184 - GlobalCoroutinePool.RESERVED_PER_LOOP));
        assertThat(hungry.pool.take()).isNull();
        hoarder.take(GlobalCoroutinePool.RESERVED_PER_LOOP);
    }

    @Test
    void shouldPassReleasedCoroutineToHungryLoop() {
        GlobalCoroutinePool global = new GlobalCoroutinePool(128, 200);
        Member busy = new Member(global);
        Member hungry = new Member(global);
        List<Coroutine> taken = busy.take(184);
        hungry.take(GlobalCoroutinePool.RESERVED_PER_LOOP);
        assertThat(hungry.pool.canTake()).isFalse();
        busy.runTasks();

        busy.pool.release(taken.removeLast());
        hungry.runTasks();

        assertThat(hungry.told).hasValue(1);
        assertThat(hungry.pool.take()).isNotNull();
        // Nobody is hungry any more: the next one stays where it is.
        busy.pool.release(taken.removeLast());
        assertThat(busy.pool.pooled()).isEqualTo(1);
    }

    @Test
    void shouldTellHungryLoopWhenCoroutineIsDiscarded() {
        Member member = new Member(new GlobalCoroutinePool(4, 20));
        List<Coroutine> taken = member.take(20);
        assertThat(member.pool.take()).isNull();

        member.pool.discard(taken.removeLast());
        member.runTasks();

        assertThat(member.told).hasValue(1);
        assertThat(member.pool.take()).isNotNull();
    }

    @Test
    void shouldKeepLastPeriodsPeakAndDropItOnePeriodLater() {
        GlobalCoroutinePool global = new GlobalCoroutinePool(128, 10_000);
        Member member = new Member(global);
        member.releaseAll(member.take(1000));

        assertThat(member.pool.shrink()).isTrue();
        assertThat(member.pool.pooled() + global.pooled()).isEqualTo(1000);

        assertThat(member.pool.shrink()).isFalse();
        assertThat(member.pool.pooled() + global.pooled()).isEqualTo(CoroutinePool.KEEP_MIN);
        assertThat(global.accounted()).isEqualTo(CoroutinePool.KEEP_MIN);
    }

    @Test
    void shouldCountAliveOnesIntoWhatIsKept() {
        GlobalCoroutinePool global = new GlobalCoroutinePool(16, 10_000);
        Member member = new Member(global);
        List<Coroutine> taken = member.take(500);
        member.releaseAll(new ArrayList<>(taken.subList(100, 500)));

        member.pool.shrink();
        member.pool.shrink();

        assertThat(member.pool.alive()).isEqualTo(100);
        assertThat(member.pool.pooled() + global.pooled()).isZero();
        assertThat(global.accounted()).isEqualTo(100);
    }

    @Test
    void shouldNotDropWhatAnotherLoopNeeds() {
        GlobalCoroutinePool global = new GlobalCoroutinePool(128, 10_000);
        Member quiet = new Member(global);
        Member swinging = new Member(global);
        swinging.releaseAll(swinging.take(1000));

        quiet.pool.shrink();
        quiet.pool.shrink();

        assertThat(global.accounted()).isEqualTo(1000 + GlobalCoroutinePool.RESERVED_PER_LOOP);
        swinging.take(1000);
        assertThat(swinging.pool.created()).isEqualTo(1000);
    }

    @Test
    void shouldGiveEverythingBackWhenClosed() {
        GlobalCoroutinePool global = new GlobalCoroutinePool(128, 10_000);
        Member a = new Member(global);
        Member b = new Member(global);
        List<Coroutine> taken = a.take(300);
        assertThatThrownBy(a.pool::close)
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("300");
        a.releaseAll(taken);

        a.pool.close();
        assertThat(global.accounted()).isEqualTo(CoroutinePool.KEEP_MIN + GlobalCoroutinePool.RESERVED_PER_LOOP);
        b.pool.close();

        assertThat(global.accounted()).isZero();
        assertThat(global.pooled()).isZero();
    }

    @Test
    void shouldRefuseBusyForeignAndTwiceReleasedCoroutines() {
        GlobalCoroutinePool global = new GlobalCoroutinePool(4, 100);
        Member a = new Member(global);
        Member b = new Member(global);
        List<Coroutine> taken = a.take(2);
        b.take(2);
        Coroutine busy = taken.get(0);
        busy.start(SUSPEND_ONCE);

        assertThatThrownBy(() -> a.pool.release(busy)).hasMessageContaining("busy");
        busy.resume();
        a.pool.release(busy);
        assertThatThrownBy(() -> a.pool.release(busy)).hasMessageContaining("not taken");
        assertThatThrownBy(() -> b.pool.release(taken.get(1))).hasMessageContaining("not taken");
    }

    @Test
    void shouldListWhereCoroutinesWait() {
        Member member = new Member(new GlobalCoroutinePool(4, 100));
        List<Coroutine> taken = member.take(3);
        taken.get(0).start(CoroutinePoolTest::waitForTheDisk);
        String[] dump = {""};
        taken.get(1).start(() -> dump[0] = member.pool.dump());

        assertThat(dump[0])
                .contains("3 coroutines out of the pool")
                .contains("waitForTheDisk")
                .contains("coroutine 1 runs")
                .contains("coroutine 2 has no work");
    }

    private static void waitForTheDisk() {
        Coroutine.suspend();
    }

    @Test
    void shouldTakeAndReleaseWithoutGarbageOnceWarm() {
        Member member = new Member(new GlobalCoroutinePool(128, 10_000));
        Coroutine[] taken = new Coroutine[600];
        // The first rounds create coroutines, batches and register, and let the JIT compile.
        for (int i = 0; i < 200; i++) {
            takeAndRelease(member.pool, taken);
        }
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        long before = threads.getCurrentThreadAllocatedBytes();

        for (int i = 0; i < 100; i++) {
            takeAndRelease(member.pool, taken);
        }

        // The bean itself allocates a little; 60 000 pairs that allocated anything would show as hundreds of kilobytes.
        assertThat(threads.getCurrentThreadAllocatedBytes() - before).isLessThan(10_000);
    }

    private static void takeAndRelease(CoroutinePool pool, Coroutine[] taken) {
        for (int i = 0; i < taken.length; i++) {
            taken[i] = requireNonNull(pool.take());
        }
        for (int i = 0; i < taken.length; i++) {
            pool.release(taken[i]);
        }
    }

    @Test
    void shouldBeSharedByThreadsWithoutLosingOrDoublingCoroutines() throws Exception {
        long seed = System.nanoTime();
        System.out.println("seed " + seed);
        int maximum = 300;
        GlobalCoroutinePool global = new GlobalCoroutinePool(16, maximum);
        int threads = 4;
        CyclicBarrier start = new CyclicBarrier(threads);
        try (ExecutorService executor = Executors.newFixedThreadPool(threads)) {
            List<Future<Boolean>> results = new ArrayList<>();
            for (int t = 0; t < threads; t++) {
                Random random = new Random(seed + t);
                results.add(executor.submit(() -> swing(global, maximum, random, start)));
            }
            for (Future<Boolean> result : results) {
                assertThat(result.get(60, TimeUnit.SECONDS)).isTrue();
            }
        }
        assertThat(global.accounted()).isZero();
        assertThat(global.pooled()).isZero();
    }

    private static boolean swing(GlobalCoroutinePool global, int maximum, Random random, CyclicBarrier start)
            throws Exception {
        Member member = new Member(global);
        ArrayDeque<Coroutine> taken = new ArrayDeque<>();
        start.await();
        for (int round = 0; round < 3000; round++) {
            int target = random.nextInt(maximum);
            while (taken.size() < target) {
                Coroutine coroutine = member.pool.take();
                if (coroutine == null) {
                    break;
                }
                // Throws when two threads were given the same one.
                coroutine.start(SUSPEND_ONCE);
                taken.add(coroutine);
            }
            assertThat(taken.size()).isGreaterThanOrEqualTo(Math.min(target, GlobalCoroutinePool.RESERVED_PER_LOOP));
            assertThat(global.accounted()).isLessThanOrEqualTo(maximum);
            int rest = random.nextInt(taken.size() + 1);
            while (taken.size() > rest) {
                Coroutine coroutine = random.nextBoolean() ? taken.pollFirst() : taken.pollLast();
                coroutine.resume();
                member.pool.release(coroutine);
            }
            member.runTasks();
            if (random.nextInt(100) == 0) {
                member.pool.shrink();
            }
        }
        for (Coroutine coroutine : taken) {
            coroutine.resume();
            member.pool.release(coroutine);
        }
        // Not before the others are done either: whoever is still hungry may ask this pool.
        start.await();
        member.pool.close();
        return true;
    }

    @Test
    void shouldDeriveLimitFromHeap() {
        GlobalCoroutinePool global = new GlobalCoroutinePool();

        long heapBytes = Runtime.getRuntime().maxMemory();
        assertThat(global.maximum()).isEqualTo((int) (heapBytes / 4 / 4096));
        assertThat(global.describeLimit())
                .isEqualTo(global.maximum() + " coroutines: a quarter of the maximum heap (" + (heapBytes >> 20)
                        + " MiB) at 4096 bytes each");
        assertThat(GlobalCoroutinePool.maximumFor(64L << 20)).isEqualTo(4096);
    }
}

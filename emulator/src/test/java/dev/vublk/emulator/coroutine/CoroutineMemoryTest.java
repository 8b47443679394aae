// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.coroutine;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;

import java.lang.management.ManagementFactory;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** What suspended coroutines take from the heap, and that a spike gives it back. */
class CoroutineMemoryTest {
    private static final int SPIKE = 6000;
    private static final int STACK_DEPTH = 15;

    @Test
    void shouldReturnMemoryAfterSpikeAndKeepToReckonedSize() {
        GlobalCoroutinePool global = new GlobalCoroutinePool(128, SPIKE);
        CoroutinePool pool = new CoroutinePool(global, Runnable::run, () -> {});
        @Nullable Coroutine[] taken = new @Nullable Coroutine[SPIKE];
        spike(pool, taken, 64);
        long before = usedHeapBytes();

        long spike = spike(pool, taken, SPIKE) - before;
        pool.shrink();
        pool.shrink();
        long after = usedHeapBytes() - before;

        System.out.println("heap per suspended coroutine, " + STACK_DEPTH + " frames: " + spike / SPIKE
                + " bytes; left after shrinking: " + after + " bytes");
        assertThat(spike / SPIKE).isBetween(400L, (long) GlobalCoroutinePool.BYTES_PER_COROUTINE);
        assertThat(after).isLessThan(spike / 10);
        assertThat(global.accounted()).isEqualTo(CoroutinePool.KEEP_MIN);
        assertThat(pool.take()).isNotNull();
    }

    /** Suspends {@code count} coroutines at once, returns the used heap at that moment, and lets them end. */
    private static long spike(CoroutinePool pool, @Nullable Coroutine[] taken, int count) {
        Runnable work = () -> descend(STACK_DEPTH, 1, 2);
        for (int i = 0; i < count; i++) {
            Coroutine coroutine = requireNonNull(pool.take());
            coroutine.start(work);
            taken[i] = coroutine;
        }
        long used = usedHeapBytes();
        for (int i = 0; i < count; i++) {
            Coroutine coroutine = requireNonNull(taken[i]);
            coroutine.resume();
            pool.release(coroutine);
            taken[i] = null;
        }
        return used;
    }

    private static long descend(int depth, long a, long b) {
        if (depth == 0) {
            Coroutine.suspend();
            return a;
        }
        return descend(depth - 1, a + b, b * depth) ^ b;
    }

    private static long usedHeapBytes() {
        // Twice: what the first collection finds unreachable only through references goes in the second.
        System.gc();
        System.gc();
        return ManagementFactory.getMemoryMXBean().getHeapMemoryUsage().getUsed();
    }
}

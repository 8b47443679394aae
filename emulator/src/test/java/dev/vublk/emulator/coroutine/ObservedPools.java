// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.coroutine;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Executor;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/** The pools of an emulator's loops, which a test looks at and whose periods it can wait for. Any thread. */
public final class ObservedPools implements CoroutineSource.Maker {
    private static final int TIMEOUT_S = 20;

    private final GlobalCoroutinePool global;
    private final List<Observed> pools = new CopyOnWriteArrayList<>();

    public ObservedPools(GlobalCoroutinePool global) {
        this.global = global;
    }

    @Override
    public CoroutineSource newSource(Executor loop, Runnable onAvailable) {
        Observed observed = new Observed(global.newSource(loop, onAvailable));
        pools.add(observed);
        return observed;
    }

    /** The control loop's comes first. */
    public CoroutinePool ofIoThread(int index) {
        return pools.get(index + 1).pool;
    }

    /** Waits until so many periods more have ended on every loop. */
    public void awaitShrinks(int count) throws InterruptedException {
        for (Observed observed : pools) {
            observed.shrinks.drainPermits();
        }
        for (Observed observed : pools) {
            if (!observed.shrinks.tryAcquire(count, TIMEOUT_S, TimeUnit.SECONDS)) {
                throw new AssertionError("no period ends");
            }
        }
    }

    private static final class Observed implements CoroutineSource {
        private final CoroutinePool pool;
        private final Semaphore shrinks = new Semaphore(0);

        private Observed(CoroutinePool pool) {
            this.pool = pool;
        }

        @Override
        public @Nullable Coroutine take() {
            return pool.take();
        }

        @Override
        public Coroutine takeRegardless() {
            return pool.takeRegardless();
        }

        @Override
        public boolean canTake() {
            return pool.canTake();
        }

        @Override
        public void release(Coroutine coroutine) {
            pool.release(coroutine);
        }

        @Override
        public void discard(Coroutine coroutine) {
            pool.discard(coroutine);
        }

        @Override
        public boolean shrink() {
            boolean more = pool.shrink();
            shrinks.release();
            return more;
        }

        @Override
        public String dump() {
            return pool.dump();
        }

        @Override
        public void close() {
            pool.close();
        }
    }
}

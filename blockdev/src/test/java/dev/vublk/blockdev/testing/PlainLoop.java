// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.testing;

import dev.vublk.blockdev.IoContext;
import dev.vublk.blockdev.IoRing;
import java.util.ArrayDeque;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.IntSupplier;
import org.jspecify.annotations.Nullable;

/**
 * A loop made of plain threads: who holds the baton is on the loop, waiting hands the baton on. So several threads of a
 * test behave like the coroutines of one loop, and two loops run side by side.
 */
public final class PlainLoop implements IoContext {
    private final ReentrantLock baton = new ReentrantLock(true);
    private final FaultPlan faults;
    private final @Nullable IoRing ring;
    private final Semaphore waits = new Semaphore(0);
    private final AtomicInteger callCount = new AtomicInteger();

    private PlainLoop(boolean withRing, FaultPlan faults) {
        this.faults = faults;
        this.ring = withRing ? new PlainRing(this, faults) : null;
    }

    public static PlainLoop withRing() {
        return new PlainLoop(true, FaultPlan.NONE);
    }

    public static PlainLoop withRing(FaultPlan faults) {
        return new PlainLoop(true, faults);
    }

    public static PlainLoop withoutRing() {
        return new PlainLoop(false, FaultPlan.NONE);
    }

    public static PlainLoop withoutRing(FaultPlan faults) {
        return new PlainLoop(false, faults);
    }

    /** Runs {@code body} on the loop, as one of its coroutines. */
    public int run(IntSupplier body) {
        baton.lock();
        try {
            return body.getAsInt();
        } finally {
            baton.unlock();
        }
    }

    /** Returns when one more caller waits in one of the loop's queues. */
    public void awaitWaiter() throws InterruptedException {
        if (!waits.tryAcquire(30, TimeUnit.SECONDS)) {
            throw new AssertionError("nobody waits");
        }
    }

    /** How many calls have waited so far. */
    public int callCount() {
        return callCount.get();
    }

    /** Lets others run on the loop while {@code call} is under way. */
    int away(BlockingCall call) {
        checkOnLoop();
        callCount.incrementAndGet();
        baton.unlock();
        try {
            return call.run();
        } finally {
            baton.lock();
        }
    }

    private void checkOnLoop() {
        if (baton.getHoldCount() != 1) {
            throw new IllegalStateException("not on the loop");
        }
    }

    @Override
    public @Nullable IoRing ring() {
        return ring;
    }

    @Override
    public int runBlocking(BlockingCall call) {
        return away(() -> {
            long fault = faults.next(FaultPlan.Operation.BLOCKING, 0, 0);
            return fault < 0 ? (int) fault : call.run();
        });
    }

    @Override
    public WaitQueue newWaitQueue() {
        checkOnLoop();
        return new BatonQueue();
    }

    private final class BatonQueue implements WaitQueue {
        private final ArrayDeque<Waiter> waiters = new ArrayDeque<>();

        @Override
        public void await() {
            checkOnLoop();
            Waiter waiter = new Waiter(baton.newCondition());
            waiters.add(waiter);
            waits.release();
            while (!waiter.woken) {
                waiter.condition.awaitUninterruptibly();
            }
        }

        @Override
        public void wakeOne() {
            checkOnLoop();
            Waiter waiter = waiters.poll();
            if (waiter != null) {
                waiter.woken = true;
                waiter.condition.signal();
            }
        }

        @Override
        public void wakeAll() {
            while (!waiters.isEmpty()) {
                wakeOne();
            }
        }

        @Override
        public boolean isEmpty() {
            checkOnLoop();
            return waiters.isEmpty();
        }

        /** As a real loop: the wake-up is a task that runs when the loop is free. */
        @Override
        public void wakeAllFromAnyThread() {
            Thread.startVirtualThread(() -> run(() -> {
                wakeAll();
                return 0;
            }));
        }
    }

    private static final class Waiter {
        final Condition condition;
        boolean woken;

        Waiter(Condition condition) {
            this.condition = condition;
        }
    }
}

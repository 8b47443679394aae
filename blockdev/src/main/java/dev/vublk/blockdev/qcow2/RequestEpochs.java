// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import dev.vublk.blockdev.file.LoopQueue;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.ArrayList;
import java.util.concurrent.CopyOnWriteArrayList;

/**
 * Tells when nobody can be reading or writing a cluster any more that no table names: a request that looked it up before may
 * still be under way. Thread-safe.
 *
 * <p>Requests are counted by the epoch in which they began, on each loop in two counters, for even and for odd epochs. An epoch
 * ends when nobody of the one before it is left. So what was unlinked in epoch n is unused from epoch n + 2 on.
 */
final class RequestEpochs {
    private volatile long epoch;
    private final CopyOnWriteArrayList<Counter> counters = new CopyOnWriteArrayList<>();

    /** The loops of those who wait for requests to end, one for each of them; guarded by itself. */
    private final ArrayList<LoopQueue> waiting = new ArrayList<>();

    private volatile boolean anyWaiting;

    /** The requests of one loop. {@link #enter} and {@link #exit} on that loop only. */
    final class Counter {
        private static final VarHandle EVEN = handle("even");
        private static final VarHandle ODD = handle("odd");

        @SuppressWarnings("UnusedVariable") // by EVEN
        private volatile long even;

        @SuppressWarnings("UnusedVariable") // by ODD
        private volatile long odd;

        private Counter() {}

        /** A request begins, before it looks anything up; the epoch that it ends with. */
        long enter() {
            while (true) {
                long now = epoch;
                add(now, 1); // Before the epoch is looked at again: pairs with advance, which writes it and looks here.
                if (epoch == now) {
                    return now;
                }
                add(now, -1);
            }
        }

        /** The request that began in {@code begun} has ended. */
        void exit(long begun) {
            add(begun, -1);
            if (anyWaiting) { // Asked after it is counted: pairs with awaitOver, which says so and then counts.
                wakeWaiting();
            }
        }

        private void add(long in, long delta) {
            VarHandle counter = (in & 1) == 0 ? EVEN : ODD;
            counter.setVolatile(this, (long) counter.get(this) + delta); // One thread writes.
        }

        private long count(long in) {
            return (in & 1) == 0 ? even : odd;
        }

        private static VarHandle handle(String field) {
            try {
                return MethodHandles.lookup().findVarHandle(Counter.class, field, long.class);
            } catch (ReflectiveOperationException e) {
                throw new ExceptionInInitializerError(e);
            }
        }
    }

    /** Counts the requests of one more loop. */
    Counter newCounter() {
        Counter counter = new Counter();
        counters.add(counter);
        return counter;
    }

    /** The loop's channel is closed; no request is under way. */
    void remove(Counter counter) {
        counters.remove(counter);
    }

    /** The epoch in which something is unlinked that was unlinked before this call. */
    long now() {
        return epoch;
    }

    /** Waits until what was unlinked in {@code unlinkedIn} is unused. The caller is in no request, and on its loop. */
    void awaitOver(long unlinkedIn, LoopQueue queue) {
        queue.get(); // Made on its own loop.
        synchronized (waiting) {
            waiting.add(queue);
            anyWaiting = true;
        }
        try {
            while (!isOver(unlinkedIn)) {
                queue.get().await();
            }
        } finally {
            synchronized (waiting) {
                waiting.remove(queue);
                anyWaiting = !waiting.isEmpty();
            }
        }
    }

    private void wakeWaiting() {
        synchronized (waiting) {
            for (LoopQueue queue : waiting) {
                queue.get().wakeAllFromAnyThread();
            }
        }
    }

    /** Ends epochs as far as that is possible now; whether what was unlinked in {@code unlinkedIn} is unused. */
    synchronized boolean isOver(long unlinkedIn) {
        while (epoch < unlinkedIn + 2) {
            long before = epoch - 1;
            for (Counter counter : counters) {
                if (counter.count(before) != 0) {
                    return false;
                }
            }
            epoch = epoch + 1;
        }
        return true;
    }
}

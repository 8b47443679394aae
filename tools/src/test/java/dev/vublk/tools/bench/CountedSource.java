// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import dev.vublk.emulator.coroutine.Coroutine;
import dev.vublk.emulator.coroutine.CoroutineSource;
import java.util.ArrayDeque;

/**
 * A loop's coroutines in a design that the product does not have: without a limit, without a register of what is out. Runs
 * on its loop's thread; others may read the counters, which are a little old then.
 */
abstract class CountedSource implements CoroutineSource {
    private int alive;
    private int peak;
    private long created;

    /** An idle coroutine, or {@link #create}. */
    abstract Coroutine takeOrCreate();

    /** Keeps it or lets it become garbage. */
    abstract void keep(Coroutine coroutine);

    /** Idle coroutines of this loop. */
    abstract int pooled();

    final Coroutine create() {
        created++;
        return new Coroutine();
    }

    @Override
    public final Coroutine take() {
        alive++;
        if (alive > peak) {
            peak = alive;
        }
        return takeOrCreate();
    }

    @Override
    public final Coroutine takeRegardless() {
        return take();
    }

    @Override
    public final boolean canTake() {
        return true;
    }

    @Override
    public final void release(Coroutine coroutine) {
        alive--;
        keep(coroutine);
    }

    @Override
    public final void discard(Coroutine coroutine) {
        alive--;
    }

    /** Begins a period; returns the most that were out at once in the one that ends. */
    final int endPeriod() {
        int ended = peak;
        peak = alive;
        return ended;
    }

    @Override
    public boolean shrink() {
        return false;
    }

    @Override
    public final String dump() {
        return alive + " coroutines out of the pool\n";
    }

    @Override
    public final void close() {}

    /** Coroutines that run or wait. */
    final int alive() {
        return alive;
    }

    /** Most of them at once in this period. */
    final int peak() {
        return peak;
    }

    /** Coroutines made so far. */
    final long created() {
        return created;
    }

    /** A new coroutine each time. */
    static final class NoPool extends CountedSource {
        @Override
        Coroutine takeOrCreate() {
            return create();
        }

        @Override
        void keep(Coroutine coroutine) {
            // garbage
        }

        @Override
        int pooled() {
            return 0;
        }
    }

    /** As QEMU until 2021: a released coroutine goes to the shared list first, which a thread takes as a whole. */
    static final class Fixed extends CountedSource {
        private static final int LOCAL_MAX = 64;
        private static final int SHARED_MAX = 128;

        /** What the loops share. Any thread. */
        static final class Shared {
            private ArrayDeque<Coroutine> list = new ArrayDeque<>();

            private synchronized boolean offer(Coroutine coroutine) {
                return list.size() < SHARED_MAX && list.add(coroutine);
            }

            private synchronized ArrayDeque<Coroutine> swap(ArrayDeque<Coroutine> emptied) {
                if (list.size() < LOCAL_MAX) {
                    return emptied;
                }
                ArrayDeque<Coroutine> taken = list;
                list = emptied;
                return taken;
            }

            synchronized int pooled() {
                return list.size();
            }
        }

        private final Shared shared;
        private ArrayDeque<Coroutine> local = new ArrayDeque<>();

        Fixed(Shared shared) {
            this.shared = shared;
        }

        @Override
        Coroutine takeOrCreate() {
            if (local.isEmpty()) {
                local = shared.swap(local);
            }
            Coroutine coroutine = local.pollLast();
            return coroutine == null ? create() : coroutine;
        }

        @Override
        void keep(Coroutine coroutine) {
            if (!shared.offer(coroutine) && local.size() < LOCAL_MAX) {
                local.addLast(coroutine);
            }
        }

        @Override
        int pooled() {
            return local.size();
        }
    }

    /** As QEMU from 2021 to 2024. */
    static final class Unbounded extends CountedSource {
        private static final int KEEP_MIN = 64;

        private final ArrayDeque<Coroutine> pool = new ArrayDeque<>();

        @Override
        Coroutine takeOrCreate() {
            Coroutine coroutine = pool.pollLast();
            return coroutine == null ? create() : coroutine;
        }

        @Override
        void keep(Coroutine coroutine) {
            pool.addLast(coroutine);
        }

        @Override
        public boolean shrink() {
            int kept = Math.max(KEEP_MIN, endPeriod()) - alive();
            while (pool.size() > kept) {
                pool.removeFirst();
            }
            return true;
        }

        @Override
        int pooled() {
            return pool.size();
        }
    }
}

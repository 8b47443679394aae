// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.worker;

/**
 * The counters of a {@link WorkerPool} in one long, so that each decision is one compare-and-set and all see the same
 * state.
 *
 * <pre>
 *  63       62       52 51       40 39       28 27              0
 * +--------+-----------+-----------+-----------+-----------------+
 * | closed |  threads  |   idle    |  coming   |    unclaimed    |
 * +--------+-----------+-----------+-----------+-----------------+
 * </pre>
 *
 * <p><i>unclaimed</i>: queued tasks that no worker has claimed yet. <i>threads</i>: workers that exist or are being
 * created. <i>idle</i>: those parked. <i>coming</i>: those being created, starting or waking up; each will look for a
 * task soon. The rest of the threads are busy and will look when they are done.
 *
 * <p>The invariant, "no request waits while a worker could be created": {@code unclaimed <= coming}, or nobody is idle
 * and there are as many threads as there may be.
 */
final class WorkerPoolState {
    static final int THREADS_MAX = (1 << 11) - 1;

    static final long ONE_UNCLAIMED = 1L;
    static final long ONE_COMING = 1L << 28;
    static final long ONE_IDLE = 1L << 40;
    static final long ONE_THREAD = 1L << 52;
    static final long CLOSED = 1L << 63;

    private static final long UNCLAIMED_MASK = ONE_COMING - 1;

    private WorkerPoolState() {}

    static int unclaimed(long state) {
        return (int) (state & UNCLAIMED_MASK);
    }

    static int coming(long state) {
        return (int) (state >>> 28) & 0xfff;
    }

    static int idle(long state) {
        return (int) (state >>> 40) & 0xfff;
    }

    static int threads(long state) {
        return (int) (state >>> 52) & THREADS_MAX;
    }

    static boolean isClosed(long state) {
        return state < 0;
    }

    static long withoutUnclaimed(long state) {
        return state & ~UNCLAIMED_MASK;
    }

    /** Whether the invariant holds in a pool of at most {@code maxThreads}. */
    static boolean isSound(long state, int maxThreads) {
        return unclaimed(state) <= coming(state)
                || (idle(state) == 0 && (threads(state) == maxThreads || isClosed(state)));
    }

    static String describe(long state) {
        return (isClosed(state) ? "closed, " : "") + threads(state) + " threads, " + idle(state) + " idle, "
                + coming(state) + " coming, " + unclaimed(state) + " unclaimed";
    }
}

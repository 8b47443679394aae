// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev;

import org.jspecify.annotations.Nullable;

/**
 * What a disk needs to wait on one loop: the loop's ring, an executor for blocking calls, and queues to wait in.
 *
 * <p>Every waiting method looks blocking: on an IOThread it suspends the calling coroutine, so that the loop goes on; in
 * a plain-thread test it blocks the thread. All methods are called on the loop's own thread only, unless said otherwise.
 * A caller must hold no lock and be inside no {@code synchronized} block when it waits.
 */
public interface IoContext {

    /** The loop's ring, or null when the loop has none (io_uring not permitted): then only {@link #runBlocking} waits. */
    @Nullable
    IoRing ring();

    /**
     * Runs {@code call} on a worker thread and waits for its result.
     *
     * @return what the call returned: a count or 0, or a negative errno
     */
    int runBlocking(BlockingCall call);

    /** A new, empty queue in which coroutines of this loop (and only of this loop) wait their turn. */
    WaitQueue newWaitQueue();

    /** A blocking system call in straight-line code. It runs on a worker thread; it must not touch state of the loop. */
    @FunctionalInterface
    interface BlockingCall {
        /** Returns a count or 0, or a negative errno. An exception counts as {@code -EIO} and is logged. */
        int run();
    }

    /** A first-in first-out queue of waiting callers. {@link #await} on the loop's thread only. */
    interface WaitQueue {
        /** Waits until a later {@link #wakeOne} or {@link #wakeAll} reaches this caller. May not return spuriously. */
        void await();

        /** Lets the longest-waiting caller go on (it runs later on its own loop); nothing happens when nobody waits. */
        void wakeOne();

        /** Lets everybody who waits now go on. */
        void wakeAll();

        /** Whether nobody waits. */
        boolean isEmpty();

        /** As {@link #wakeAll}, but callable from any thread; the wake-up is posted to the loop as a task. */
        void wakeAllFromAnyThread();
    }
}

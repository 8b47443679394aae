// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import dev.vublk.blockdev.IoContext.WaitQueue;
import org.jspecify.annotations.Nullable;

/**
 * Keeps overlapping writes of all channels of a disk apart while one of them reads, modifies and writes back a block
 * that it covers only in part. Thread-safe.
 *
 * <p>Ranges stand in a list in the order of their arrival; a range is granted when no conflicting one stands before it.
 * So nobody starves, and as a holder never asks for a second range there is no deadlock. Two ranges conflict when they
 * overlap and at least one is exclusive: writes of whole blocks need no protection from each other.
 */
public final class RangeLock {

    /** A range that is held or waited for. Between {@link #acquire} and {@link #release} its holder's, else pooled. */
    public static final class Range {
        private Range() {}

        private long startBytes;
        private long endBytes;
        private boolean exclusive;
        private @Nullable WaitQueue waiting;
        private @Nullable Range previous;
        private @Nullable Range next;

        private boolean conflictsWith(Range other) {
            return (exclusive || other.exclusive) && startBytes < other.endBytes && other.startBytes < endBytes;
        }
    }

    // All guarded by this; nobody waits for a range while holding the monitor.
    private @Nullable Range first;
    private @Nullable Range last;
    private @Nullable Range free;

    /** Takes the range, waiting for conflicting ones that came earlier. Runs on the caller's loop. */
    public Range acquire(LoopQueue queue, long startBytes, long endBytes, boolean exclusive) {
        Range range = enqueue(startBytes, endBytes, exclusive);
        while (!isGranted(range, queue)) {
            queue.get().await();
        }
        return range;
    }

    private synchronized Range enqueue(long startBytes, long endBytes, boolean exclusive) {
        Range range = take();
        range.startBytes = startBytes;
        range.endBytes = endBytes;
        range.exclusive = exclusive;
        range.previous = last;
        if (last == null) {
            first = range;
        } else {
            last.next = range;
        }
        last = range;
        return range;
    }

    /** Whether the range is granted; if not, a release from now on wakes the queue, even before it is waited in. */
    private synchronized boolean isGranted(Range range, LoopQueue queue) {
        for (Range earlier = range.previous; earlier != null; earlier = earlier.previous) {
            if (earlier.conflictsWith(range)) {
                range.waiting = queue.get();
                return false;
            }
        }
        range.waiting = null;
        return true;
    }

    /** Gives the range up and wakes those who came later and conflict with it. Any thread. */
    public synchronized void release(Range range) {
        for (Range later = range.next; later != null; later = later.next) {
            if (later.waiting != null && later.conflictsWith(range)) {
                later.waiting.wakeAllFromAnyThread();
            }
        }
        unlink(range);
        range.previous = null;
        range.next = free;
        free = range;
    }

    private void unlink(Range range) {
        Range before = range.previous;
        Range after = range.next;
        if (before == null) {
            first = after;
        } else {
            before.next = after;
        }
        if (after == null) {
            last = before;
        } else {
            after.previous = before;
        }
    }

    private Range take() {
        Range range = free;
        if (range == null) {
            return new Range();
        }
        free = range.next;
        range.next = null;
        return range;
    }

    /** Whether nobody holds or waits. */
    synchronized boolean isEmpty() {
        return first == null;
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import dev.vublk.blockdev.IoContext.WaitQueue;
import dev.vublk.blockdev.LateLogger;
import java.util.ArrayList;
import java.util.function.IntSupplier;

/**
 * Lets one {@code fdatasync} of a file run at a time and remembers for ever that one failed. Thread-safe.
 *
 * <p>The kernel reports a failed write-back to one {@code fdatasync} of an open file description only, and marks the
 * pages clean all the same: any later flush that succeeded would lie. Two flushes side by side could lie too, when the
 * one without the report finishes first; hence one at a time. That costs little: everybody who arrives while one runs is
 * served by the next one together.
 */
public final class FlushGate {
    private static final LateLogger LOG = new LateLogger(FlushGate.class);

    private final String image;

    // All guarded by this; nobody waits for a flush while holding the monitor.
    private boolean running;
    private long startedCount;
    private long completedCount;
    private int failure;
    /** The queues, one a loop at most, in which somebody waits for the running fdatasync. */
    private final ArrayList<WaitQueue> waiting = new ArrayList<>();

    public FlushGate(String image) {
        this.image = image;
    }

    /**
     * Flushes by {@code fdatasync}, which may wait, or waits for a flush that began after this call. Runs on the caller's
     * loop.
     */
    public int flush(IntSupplier fdatasync, LoopQueue queue) {
        long needed = ticket();
        while (true) {
            Turn turn = next(needed, queue);
            if (turn == Turn.RUN) {
                return finished(fdatasync.getAsInt());
            }
            if (turn == Turn.SERVED) {
                return failure();
            }
            queue.get().await();
        }
    }

    private enum Turn {
        RUN,
        SERVED,
        WAIT
    }

    /** The number of the first fdatasync that covers the writes completed so far: the next one to start. */
    private synchronized long ticket() {
        return startedCount + 1;
    }

    private synchronized Turn next(long needed, LoopQueue queue) {
        if (failure != 0 || completedCount >= needed) {
            return Turn.SERVED;
        }
        if (!running) {
            running = true;
            startedCount++;
            return Turn.RUN;
        }
        if (!waiting.contains(queue.get())) {
            waiting.add(queue.get());
        }
        return Turn.WAIT;
    }

    private synchronized int finished(int result) {
        running = false;
        completedCount = startedCount;
        if (result < 0) {
            fail(result);
        }
        for (int i = 0; i < waiting.size(); i++) {
            waiting.get(i).wakeAllFromAnyThread();
        }
        waiting.clear();
        return failure;
    }

    /** The errno with which every flush fails from now on, or 0. */
    public synchronized int failure() {
        return failure;
    }

    /** Makes every later flush fail: a write-back error was reported to somebody, and will not be reported again. */
    synchronized void fail(int negativeErrno) {
        if (failure == 0) {
            failure = negativeErrno;
            LOG.get()
                    .error(
                            "{}: writing back to the disk failed (errno {}); data may be lost and every flush fails from now on",
                            image,
                            -negativeErrno);
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.coroutine;

import static java.util.Objects.requireNonNull;

import org.jspecify.annotations.Nullable;

/**
 * A lock that many readers or one writer hold, between coroutines of one loop. Runs on its loop's thread; allocates
 * nothing.
 *
 * <p>Fair, first come first served: a reader waits when a writer waits before it, so writers do not starve; a writer that
 * leaves lets in all readers up to the next writer, so readers do not either. A reader must not lock again while it
 * reads: with a writer waiting in between that would be a deadlock.
 */
public final class CoroutineRwLock {
    private final CoroutineLoop loop;
    private final WaitingCoroutines waiting = new WaitingCoroutines();
    private int readers;
    private @Nullable Coroutine writer;

    public CoroutineRwLock(CoroutineLoop loop) {
        this.loop = requireNonNull(loop, "loop");
    }

    /** Waits until the calling coroutine may read. */
    public void lockRead() {
        if (writer == null && waiting.isEmpty()) {
            readers++;
            return;
        }
        waitFor(false);
    }

    /** Waits until the calling coroutine alone holds the lock. */
    public void lockWrite() {
        if (writer == null && readers == 0) {
            writer = loop.currentCoroutine();
            return;
        }
        waitFor(true);
    }

    /** Takes the lock to read when that needs no waiting. */
    public boolean tryLockRead() {
        if (writer != null || !waiting.isEmpty()) {
            return false;
        }
        readers++;
        return true;
    }

    /** Takes the lock to write when that needs no waiting. */
    public boolean tryLockWrite() {
        if (writer != null || readers != 0) {
            return false;
        }
        writer = loop.currentCoroutine();
        return true;
    }

    private void waitFor(boolean toWrite) {
        Coroutine self = loop.currentCoroutine();
        if (writer == self) {
            throw new IllegalStateException("the coroutine writes already and would wait for itself");
        }
        self.waitsToWrite = toWrite;
        waiting.add(self);
        loop.suspendCurrent();
    }

    /** Ends one reading. */
    public void unlockRead() {
        if (readers == 0) {
            throw new IllegalStateException("nobody reads");
        }
        readers--;
        letIn();
    }

    /** Ends the writing of the calling coroutine. */
    public void unlockWrite() {
        if (writer == null || writer != loop.currentCoroutine()) {
            throw new IllegalStateException("the coroutine does not write");
        }
        writer = null;
        letIn();
    }

    /** Hands the lock to whom it belongs next. It is counted as theirs from now on, although they run later. */
    private void letIn() {
        Coroutine first = waiting.first();
        while (first != null && writer == null) {
            if (first.waitsToWrite) {
                if (readers > 0) {
                    return;
                }
                writer = first;
            } else {
                readers++;
            }
            waiting.poll();
            loop.wake(first);
            first = waiting.first();
        }
    }
}

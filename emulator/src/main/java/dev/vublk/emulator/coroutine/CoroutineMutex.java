// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.coroutine;

import static java.util.Objects.requireNonNull;

import org.jspecify.annotations.Nullable;

/**
 * A lock between coroutines of one loop that may be held while its owner waits. Runs on its loop's thread; allocates
 * nothing.
 *
 * <p>Fair: {@link #unlock} hands the lock to the coroutine that has waited longest, so nobody can overtake it in between.
 * Not reentrant.
 */
public final class CoroutineMutex {
    private final CoroutineLoop loop;
    private final WaitingCoroutines waiting = new WaitingCoroutines();
    private @Nullable Coroutine owner;

    public CoroutineMutex(CoroutineLoop loop) {
        this.loop = requireNonNull(loop, "loop");
    }

    /** Waits until the calling coroutine owns the lock. */
    public void lock() {
        Coroutine self = loop.currentCoroutine();
        if (owner == null) {
            owner = self;
            return;
        }
        if (owner == self) {
            throw new IllegalStateException("the coroutine holds this mutex already and would wait for itself");
        }
        waiting.add(self);
        loop.suspendCurrent();
        if (owner != self) {
            throw new IllegalStateException("resumed without being handed the mutex");
        }
    }

    /** Takes the lock when it is free. */
    public boolean tryLock() {
        if (owner != null) {
            return false;
        }
        owner = loop.currentCoroutine();
        return true;
    }

    /** Gives the lock up; the calling coroutine owns it. */
    public void unlock() {
        if (owner == null || owner != loop.currentCoroutine()) {
            throw new IllegalStateException("the coroutine does not hold this mutex");
        }
        owner = waiting.poll();
        if (owner != null) {
            loop.wake(owner);
        }
    }

    public boolean isLocked() {
        return owner != null;
    }
}

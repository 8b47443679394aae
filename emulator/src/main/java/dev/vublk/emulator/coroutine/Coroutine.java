// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.coroutine;

import jdk.internal.vm.Continuation;
import jdk.internal.vm.ContinuationScope;
import org.jspecify.annotations.Nullable;

/**
 * A stackful coroutine that runs one piece of work after the other and is kept in a pool between them.
 *
 * <p>This is the only file that knows {@code jdk.internal.vm}. A coroutine belongs to one thread at a time: whoever took it
 * from the pool starts and resumes it; between two pieces of work it may move to another thread. Work suspends with
 * {@link #suspend}, at any depth of Java frames, but never below a native frame (a class initialiser, a reflective call):
 * that throws {@link IllegalStateException} ("Pinned"). Nor may it suspend inside {@code synchronized} or while it holds a
 * {@code java.util.concurrent} lock: their owner is the thread, not the coroutine.
 */
public final class Coroutine {
    private static final ContinuationScope SCOPE = new ContinuationScope("vublk");

    /** More than the calls after which HotSpot compiles a method with its second compiler (Tier4InvocationThreshold). */
    private static final int WARM_UP_COROUTINES = 10_000;

    private final Continuation continuation;

    /** What is being run; null between two pieces of work. */
    private @Nullable Runnable work;

    /** The next one in the queue that this coroutine waits in. It waits in one at a time, so a queue needs no nodes. */
    @Nullable
    Coroutine nextWaiting;

    /** Whether it waits to write, in the queue of a {@link CoroutineRwLock}. */
    boolean waitsToWrite;

    /** What may take the present work back before it is given to the kernel; null: nothing. */
    private @Nullable Withdrawal withdrawal;

    private boolean refused;

    /** Its place in {@link CoroutinePool}'s register of coroutines that are out of the pool. */
    int registerIndex;

    /**
     * Runs short-lived coroutines until the frames at the base of every coroutine are compiled. Those frames live as long as
     * their coroutine, and one that was entered interpreted stays so: the virtual machine copies such a stack slowly at each
     * suspension. Takes some milliseconds; any thread, before the coroutines that are to last are made.
     */
    public static void warmUp() {
        for (int i = 0; i < WARM_UP_COROUTINES; i++) {
            Coroutine shortLived = new Coroutine();
            shortLived.start(Coroutine::suspend);
            shortLived.resume();
            shortLived.start(Coroutine::suspend);
            shortLived.resume();
        }
    }

    /** A new coroutine with nothing to do. */
    public Coroutine() {
        continuation = new Continuation(SCOPE, this::workOnAndOn);
    }

    private void workOnAndOn() {
        while (true) {
            Runnable taken = work;
            if (taken == null) {
                throw new IllegalStateException("resumed with nothing to do");
            }
            taken.run();
            work = null;
            Continuation.yield(SCOPE);
        }
    }

    /**
     * Runs {@code newWork} until it suspends or is done; afterwards {@link #isIdle} tells which. The coroutine is idle
     * before. Whatever the work throws ends the coroutine and reaches the caller: work handles its own failures.
     */
    public void start(Runnable newWork) {
        if (work != null) {
            throw new IllegalStateException("coroutine is busy");
        }
        work = newWork;
        continuation.run();
    }

    /** Goes on with suspended work until it suspends again or is done. */
    public void resume() {
        if (work == null) {
            throw new IllegalStateException("coroutine is idle");
        }
        continuation.run();
    }

    /** Suspends the coroutine that is running on this thread: its latest {@link #start} or {@link #resume} returns. */
    public static void suspend() {
        Continuation.yield(SCOPE);
    }

    /** From now on the work can be taken back by {@code newWithdrawal}, until {@link #endUnder}. By the work itself. */
    public void beginUnder(Withdrawal newWithdrawal) {
        withdrawal = newWithdrawal;
        refused = false;
    }

    /** Whether something has been refused since {@link #beginUnder}. */
    public boolean hasRefused() {
        return refused;
    }

    /** The work cannot be taken back any more. */
    public void endUnder() {
        withdrawal = null;
    }

    /**
     * Whether the work has been taken back: then what is about to be given to the kernel for it must not be. Asked by whoever is
     * about to, on the coroutine's own thread or on a worker's while the coroutine waits for it.
     */
    public boolean refuses() {
        Withdrawal under = withdrawal;
        if (under == null || !under.isMade()) {
            return false;
        }
        refused = true;
        return true;
    }

    /** Whether the work is done and the coroutine may be started anew or go back to the pool. */
    public boolean isIdle() {
        return work == null;
    }

    /** Whether the calling thread is inside this coroutine, maybe inside another one that this one started. */
    boolean isRunningHere() {
        for (Continuation c = Continuation.getCurrentContinuation(SCOPE); c != null; c = c.getParent()) {
            if (c.equals(continuation)) {
                return true;
            }
        }
        return false;
    }

    /** Where suspended work stands, innermost frame first. Only while the coroutine does not run. */
    public StackTraceElement[] stackTrace() {
        return continuation.getStackTrace();
    }
}

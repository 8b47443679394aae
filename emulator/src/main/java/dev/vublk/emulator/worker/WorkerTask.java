// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.worker;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import org.jspecify.annotations.Nullable;

/**
 * A blocking call that a worker runs for a loop. Reusable: it may be submitted again from {@link #onComplete} on, so a
 * slot that makes one call at a time needs one task for ever.
 */
public abstract class WorkerTask {
    private static final int FREE = 0;
    private static final int QUEUED = 1;
    private static final int RUNNING = 2;
    private static final int DONE = 3;

    private static final VarHandle STATE;

    static {
        try {
            STATE = MethodHandles.lookup().findVarHandle(WorkerTask.class, "state", int.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    /** Decides who of a worker, a cancelling loop and a closing pool has the task. */
    @SuppressWarnings("UnusedVariable") // through STATE
    private int state;

    /** Who submitted it; written before it is queued, read by its worker. */
    private @Nullable WorkerClient client;

    private long submittedNs;
    private long waitNs;
    private int result;

    /**
     * The blocking call. Runs on a worker; must not touch state of the loop.
     *
     * @return a count or 0, or a negative errno. An exception counts as {@code -EIO} and is logged
     */
    protected abstract int run();

    /**
     * Takes what {@link #run} returned, or {@code -ECANCELED} when it never ran. Runs on the client's loop, in {@link
     * WorkerClient#drainCompletions}; it may submit the task again.
     */
    protected abstract void onComplete(int taskResult);

    final void onSubmit(WorkerClient submitter, long nowNs) {
        if ((int) STATE.getOpaque(this) != FREE) {
            throw new IllegalStateException("the task is queued or running already");
        }
        client = submitter;
        submittedNs = nowNs;
        // Release: the worker that wins the task sees the fields above, and what the subclass was set up with.
        STATE.setRelease(this, QUEUED);
    }

    final @Nullable WorkerClient client() {
        return client;
    }

    /** A worker wants to run it. False when it was cancelled before. */
    final boolean tryStart(long nowNs) {
        if (!STATE.compareAndSet(this, QUEUED, RUNNING)) {
            return false;
        }
        waitNs = nowNs - submittedNs;
        return true;
    }

    final void setDone(int taskResult) {
        result = taskResult;
        STATE.setRelease(this, DONE);
    }

    /** Makes sure that no worker will run it. False when one has begun. */
    final boolean tryCancel(int taskResult) {
        if (!STATE.compareAndSet(this, QUEUED, DONE)) {
            return false;
        }
        waitNs = -1;
        result = taskResult;
        return true;
    }

    /** How long it was queued, or -1 when it was cancelled. Valid between completion and reuse. */
    final long waitNs() {
        return waitNs;
    }

    /** On the loop: the task is reusable from here on. */
    final void deliver() {
        int taskResult = result;
        STATE.setOpaque(this, FREE);
        onComplete(taskResult);
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.worker;

import static java.util.Objects.requireNonNull;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import org.HdrHistogram.Histogram;
import org.HdrHistogram.SingleWriterRecorder;
import org.jctools.queues.MpscUnboundedArrayQueue;

/**
 * One loop's access to a {@link WorkerPool}: it submits tasks and takes their completions. Runs on the loop's thread,
 * but for the counters. Allocates nothing once warm.
 *
 * <p>Workers put completions into a queue and wake the loop only when it said that it is about to block, and then once.
 * The loop takes completions in each pass by {@link #drainCompletions}, and before it blocks it calls
 * {@link #prepareToBlock}.
 */
public final class WorkerClient implements AutoCloseable {
    /** Completions that fit without allocating. Arbitrary: many times the usual number of workers. */
    private static final int CHUNK_SIZE = 256;

    private static final int AWAKE = 0;
    private static final int PARKED = 1;

    private static final VarHandle LOOP_STATE;
    private static final VarHandle SUBMITTED;
    private static final VarHandle COMPLETED;

    static {
        try {
            MethodHandles.Lookup lookup = MethodHandles.lookup();
            LOOP_STATE = lookup.findVarHandle(WorkerClient.class, "loopState", int.class);
            SUBMITTED = lookup.findVarHandle(WorkerClient.class, "submitted", long.class);
            COMPLETED = lookup.findVarHandle(WorkerClient.class, "completed", long.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    private final WorkerPool pool;
    private final Runnable wakeUp;
    private final MpscUnboundedArrayQueue<WorkerTask> completions = new MpscUnboundedArrayQueue<>(CHUNK_SIZE);
    private final SingleWriterRecorder waits = WorkerPool.newWaitRecorder();

    /** PARKED: the next completion shall wake the loop. */
    @SuppressWarnings("UnusedVariable") // through LOOP_STATE
    private int loopState = AWAKE;

    private long submitted;
    private long completed;

    WorkerClient(WorkerPool pool, Runnable wakeUp) {
        this.pool = pool;
        this.wakeUp = requireNonNull(wakeUp, "wakeUp");
    }

    /** Lets a worker run {@code task}. Never blocks; on a closed pool the task completes with {@code -ECANCELED}. */
    public void submit(WorkerTask task) {
        task.onSubmit(this, System.nanoTime());
        SUBMITTED.setOpaque(this, submitted + 1);
        pool.enqueue(task);
    }

    /**
     * Takes back a task that no worker has begun: it completes with {@code -ECANCELED}, in a later {@link
     * #drainCompletions}.
     *
     * @return false when it runs or has run: then it completes as usual
     */
    public boolean cancel(WorkerTask task) {
        if (task.client() != this) {
            throw new IllegalArgumentException("the task was not submitted here");
        }
        return cancelQueued(task);
    }

    /** Any thread. Its entry stays in the pool's queue; a worker that finds it there, or reused, does the right thing. */
    boolean cancelQueued(WorkerTask task) {
        if (!task.tryCancel(-WorkerPool.ECANCELED)) {
            return false;
        }
        complete(task);
        return true;
    }

    /** A worker has run the task. */
    void onRun(WorkerTask task, int result) {
        task.setDone(result);
        complete(task);
    }

    private void complete(WorkerTask task) {
        completions.offer(task);
        // [A] The completion is visible before the loop's state is read; pairs with [B] in prepareToBlock. Either the
        // worker sees PARKED and wakes the loop, or the loop sees the completion and does not block; never neither.
        VarHandle.fullFence();
        if ((int) LOOP_STATE.getOpaque(this) == PARKED && LOOP_STATE.compareAndSet(this, PARKED, AWAKE)) {
            // Of many workers that come here while the loop is parked the compare-and-set lets one through.
            wakeUp.run();
        }
    }

    /**
     * To be called right before the loop blocks: from now on the next completion wakes it.
     *
     * @return false when there are completions already: then the loop does not block but takes them
     */
    public boolean prepareToBlock() {
        LOOP_STATE.setOpaque(this, PARKED);
        // [B] PARKED is visible before the queue is looked at; pairs with [A] in complete.
        VarHandle.fullFence();
        if (completions.isEmpty()) {
            return true;
        }
        onAwake();
        return false;
    }

    /** To be called when the loop has stopped blocking, whoever woke it: completions need no wake-up until it blocks. */
    public void onAwake() {
        LOOP_STATE.setOpaque(this, AWAKE);
    }

    /** Whether {@link #drainCompletions} has, or is about to have, something to do. */
    public boolean hasCompletions() {
        return !completions.isEmpty();
    }

    /** Calls {@link WorkerTask#onComplete} for at most {@code max} tasks that are done. Returns for how many. */
    public int drainCompletions(int max) {
        int drained = 0;
        while (drained < max) {
            // Not poll(): it would spin when a worker is interrupted in the midst of its offer.
            WorkerTask task = completions.relaxedPoll();
            if (task == null) {
                break;
            }
            drained++;
            COMPLETED.setOpaque(this, completed + 1);
            long waitNs = task.waitNs();
            if (waitNs >= 0) {
                waits.recordValue(Math.min(waitNs, WorkerPool.LONGEST_RECORDED_NS));
            }
            task.deliver();
        }
        return drained;
    }

    /** Tasks submitted since the beginning. Any thread. */
    public long submitted() {
        return (long) SUBMITTED.getOpaque(this);
    }

    /** Tasks completed since the beginning. Any thread. */
    public long completed() {
        return (long) COMPLETED.getOpaque(this);
    }

    /** Tasks submitted whose completion has not been taken. */
    public long inFlight() {
        return submitted - completed;
    }

    /** Moves what was recorded since the last time. Any one thread at a time. */
    void moveWaitsTo(Histogram total) {
        total.add(waits.getIntervalHistogram());
    }

    /** Leaves the pool. Nothing is in flight any more. */
    @Override
    public void close() {
        if (inFlight() != 0) {
            throw new IllegalStateException(inFlight() + " tasks are still in flight");
        }
        pool.remove(this);
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.coroutine;

import static java.util.Objects.requireNonNull;

import java.util.ArrayList;
import java.util.List;

/**
 * Counts the requests in flight behind it, and can be closed to let them drain: the way to stop a queue, to quiesce or
 * resize a disk. Runs on its loop's thread; entering and leaving allocate nothing.
 */
public final class CoroutineGate {
    private final CoroutineQueue awaitingDrain;
    private final List<Runnable> drainTasks = new ArrayList<>();
    private int inFlight;
    private boolean isClosed;

    public CoroutineGate(CoroutineLoop loop) {
        awaitingDrain = new CoroutineQueue(requireNonNull(loop, "loop"));
    }

    /** Enters, unless the gate is closed. Who has entered leaves exactly once. */
    public boolean tryEnter() {
        if (isClosed) {
            return false;
        }
        inFlight++;
        return true;
    }

    public void leave() {
        if (inFlight == 0) {
            throw new IllegalStateException("more left than entered");
        }
        if (--inFlight == 0) {
            awaitingDrain.wakeAll();
            runDrainTasks();
        }
    }

    private void runDrainTasks() {
        if (!drainTasks.isEmpty()) {
            List<Runnable> due = List.copyOf(drainTasks);
            drainTasks.clear();
            due.forEach(Runnable::run);
        }
    }

    /** Lets nobody enter any more. Those inside may ask {@link #isClosed} whether to give up early. */
    public void close() {
        isClosed = true;
    }

    /** Lets callers enter again. */
    public void open() {
        isClosed = false;
    }

    public boolean isClosed() {
        return isClosed;
    }

    public int inFlight() {
        return inFlight;
    }

    /** The calling coroutine waits until nobody is inside. It is not inside itself. */
    public void awaitDrained() {
        // A loop, because an open gate may have been entered again before this coroutine got its turn.
        while (inFlight > 0) {
            awaitingDrain.await();
        }
    }

    /** Runs {@code task} as soon as nobody is inside, now or at the last {@link #leave}; for callers that cannot wait. */
    public void whenDrained(Runnable task) {
        requireNonNull(task, "task");
        if (inFlight == 0) {
            task.run();
        } else {
            drainTasks.add(task);
        }
    }
}

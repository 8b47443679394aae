// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.worker;

import static java.util.Objects.requireNonNull;

import dev.vublk.emulator.trace.FlightRecording;
import dev.vublk.emulator.trace.WorkerSpawnEvent;
import org.jspecify.annotations.Nullable;

/** One thread of a {@link WorkerPool}: runs tasks until it has been idle for long or the pool is closed. */
final class Worker implements Runnable {
    private final WorkerPool pool;
    private final long requestedNs;
    private int slot;
    private @Nullable Thread thread;
    private volatile boolean hasLeft;

    Worker(WorkerPool pool, long requestedNs) {
        this.pool = pool;
        this.requestedNs = requestedNs;
    }

    /** Before the thread is started. */
    void place(int newSlot, Thread newThread) {
        slot = newSlot;
        thread = newThread;
    }

    int slot() {
        return slot;
    }

    Thread thread() {
        return requireNonNull(thread);
    }

    /** Whether its place may be given to another. */
    boolean hasLeft() {
        return hasLeft;
    }

    void join() throws InterruptedException {
        thread().join();
    }

    @Override
    public void run() {
        pool.onStarted(requestedNs);
        if (FlightRecording.isOn() && WorkerSpawnEvent.isOn()) {
            WorkerSpawnEvent.record(Thread.currentThread().getName(), System.nanoTime() - requestedNs);
        }
        try {
            work();
        } finally {
            hasLeft = true;
        }
    }

    private void work() {
        boolean isComing = true;
        while (true) {
            switch (pool.findWork(this, isComing)) {
                case TASK -> {
                    isComing = false;
                    pool.runOneTask();
                }
                case IDLE -> {
                    if (!pool.awaitWakeUp(this)) {
                        return;
                    }
                    isComing = true;
                }
                case LEAVE -> {
                    return;
                }
            }
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.worker;

import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** The part of a loop that a {@link WorkerClient} sees: drains completions, and blocks by the client's protocol. */
final class ClientLoop {
    final WorkerPool pool;
    final WorkerClient client;
    final AtomicInteger wakeUps = new AtomicInteger();
    private final Semaphore wakeUp = new Semaphore(0);

    ClientLoop(WorkerPool pool) {
        this.pool = pool;
        client = pool.newClient(() -> {
            wakeUps.incrementAndGet();
            wakeUp.release();
        });
    }

    /** Runs until nothing is in flight. */
    void drainAll() throws InterruptedException {
        while (client.inFlight() > 0) {
            if (client.drainCompletions(64) == 0) {
                block();
            }
        }
    }

    /** Waits for a completion, unless there is one. */
    void block() throws InterruptedException {
        if (!client.prepareToBlock()) {
            return;
        }
        // Far longer than any test: without it a lost wake-up would hang the build instead of failing it.
        if (!wakeUp.tryAcquire(60, TimeUnit.SECONDS)) {
            throw new AssertionError("no wake-up; " + pool + "; in flight " + client.inFlight());
        }
        wakeUp.drainPermits();
        client.onAwake();
    }
}

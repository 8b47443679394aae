// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.worker;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.IntSupplier;

/** A task that tells when it runs and waits to be let go. */
final class BlockingTask extends WorkerTask {
    final CountDownLatch running = new CountDownLatch(1);
    final CountDownLatch mayEnd = new CountDownLatch(1);
    final AtomicInteger runs = new AtomicInteger();
    final List<Integer> results = new ArrayList<>();
    final List<Thread> completers = new ArrayList<>();
    private final IntSupplier body;

    BlockingTask(IntSupplier body) {
        this.body = body;
    }

    BlockingTask(int result) {
        this(() -> result);
    }

    /** A task that does not block. */
    static BlockingTask running(IntSupplier body) {
        BlockingTask task = new BlockingTask(body);
        task.mayEnd.countDown();
        return task;
    }

    @Override
    protected int run() {
        runs.incrementAndGet();
        running.countDown();
        try {
            mayEnd.await();
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
        return body.getAsInt();
    }

    @Override
    protected void onComplete(int taskResult) {
        results.add(taskResult);
        completers.add(Thread.currentThread());
    }
}

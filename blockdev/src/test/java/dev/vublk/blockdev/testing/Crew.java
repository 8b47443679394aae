// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.testing;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** Threads that do things side by side, whose results and failures come back to the test. */
public final class Crew implements AutoCloseable {
    private static final int DEADLINE_S = 60;

    private final ExecutorService threads = Executors.newCachedThreadPool();
    private final List<Future<?>> all = new ArrayList<>();

    /** Starts a thread whose result nobody wants; {@link #join} tells of its failure. */
    public void run(Callable<?> task) {
        all.add(threads.submit(task));
    }

    public <T> Future<T> start(Callable<T> task) {
        Future<T> future = threads.submit(task);
        all.add(future);
        return future;
    }

    /** The result of one, which must come within a minute. */
    public static <T> T result(Future<T> future) throws InterruptedException, ExecutionException, TimeoutException {
        return future.get(DEADLINE_S, TimeUnit.SECONDS);
    }

    /** Waits for all. */
    public void join() throws InterruptedException, ExecutionException, TimeoutException {
        for (Future<?> future : all) {
            result(future);
        }
    }

    @Override
    public void close() {
        threads.shutdownNow();
    }
}

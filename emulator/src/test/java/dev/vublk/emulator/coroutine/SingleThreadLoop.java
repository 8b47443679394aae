// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.coroutine;

import static java.util.Objects.requireNonNull;

import java.util.ArrayDeque;
import java.util.concurrent.LinkedBlockingQueue;
import org.jspecify.annotations.Nullable;

/** The smallest loop that runs coroutines, for tests: the thread that made it drives it by {@link #run} and its like. */
public final class SingleThreadLoop implements CoroutineLoop {
    private final Thread thread = Thread.currentThread();
    private final LinkedBlockingQueue<Runnable> tasks = new LinkedBlockingQueue<>();
    private final ArrayDeque<Coroutine> ready = new ArrayDeque<>();
    private @Nullable Coroutine current;

    /** Runs {@code work} in a new coroutine until it first waits. */
    public Coroutine start(Runnable work) {
        Coroutine coroutine = new Coroutine();
        enter(coroutine, () -> coroutine.start(work));
        return coroutine;
    }

    /** Starts or resumes {@code coroutine} by {@code how}. */
    public void enter(Coroutine coroutine, Runnable how) {
        @Nullable Coroutine outer = current;
        current = coroutine;
        try {
            how.run();
        } finally {
            current = outer;
        }
    }

    /** Runs until nothing is ready; does not wait for other threads. */
    public void run() {
        boolean worked = true;
        while (worked) {
            worked = false;
            for (Runnable task = tasks.poll(); task != null; task = tasks.poll()) {
                task.run();
                worked = true;
            }
            for (Coroutine next = ready.poll(); next != null; next = ready.poll()) {
                enter(next, next::resume);
                worked = true;
            }
        }
    }

    /** Waits for one task from another thread, then {@link #run}. */
    public void runOneTask() throws InterruptedException {
        tasks.take().run();
        run();
    }

    public int readyCount() {
        return ready.size();
    }

    public int taskCount() {
        return tasks.size();
    }

    @Override
    public Coroutine currentCoroutine() {
        if (current == null) {
            throw new IllegalStateException("not in a coroutine");
        }
        return current;
    }

    @Override
    public void suspendCurrent() {
        requireNonNull(current);
        Coroutine.suspend();
    }

    @Override
    public void wake(Coroutine coroutine) {
        if (!inLoop()) {
            throw new IllegalStateException("woken from another thread");
        }
        ready.add(coroutine);
    }

    @Override
    public void execute(Runnable task) {
        tasks.add(task);
    }

    @Override
    public boolean inLoop() {
        return Thread.currentThread().equals(thread);
    }
}

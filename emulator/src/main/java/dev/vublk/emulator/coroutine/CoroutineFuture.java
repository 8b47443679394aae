// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.coroutine;

import static java.util.Objects.requireNonNull;

import java.util.concurrent.CompletionException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/**
 * One result that one coroutine of a loop waits for and anybody may provide. Single use. {@link #await} runs on the
 * loop's thread, the rest on any.
 *
 * @param <T> what the result is
 */
public final class CoroutineFuture<T> {
    private enum Progress {
        PENDING,
        DONE
    }

    private final CoroutineLoop loop;

    /** {@link Progress#PENDING}, the coroutine that waits, or {@link Progress#DONE}. Publishes {@link #value} and {@link #failure}. */
    private final AtomicReference<Object> state = new AtomicReference<>(Progress.PENDING);

    private @Nullable T value;
    private @Nullable Throwable failure;

    /** Set by the one who completes, so that of two only the first writes the result. */
    private final AtomicBoolean isClaimed = new AtomicBoolean();

    public CoroutineFuture(CoroutineLoop loop) {
        this.loop = requireNonNull(loop, "loop");
    }

    /** Provides the result. Returns false, and does nothing, when there is one already. */
    public boolean complete(T result) {
        requireNonNull(result, "result");
        if (!claim()) {
            return false;
        }
        value = result;
        publish();
        return true;
    }

    /** Lets {@link #await} throw. Returns false, and does nothing, when there is a result already. */
    public boolean fail(Throwable reason) {
        requireNonNull(reason, "reason");
        if (!claim()) {
            return false;
        }
        failure = reason;
        publish();
        return true;
    }

    private boolean claim() {
        return isClaimed.compareAndSet(false, true);
    }

    private void publish() {
        Object before = state.getAndSet(Progress.DONE);
        if (before instanceof Coroutine waiting) {
            if (loop.inLoop()) {
                loop.wake(waiting);
            } else {
                loop.execute(() -> loop.wake(waiting));
            }
        }
    }

    /** Whether there is a result or a failure, so that {@link #await} would not wait. */
    public boolean isDone() {
        return state.get() == Progress.DONE;
    }

    /**
     * The result; the calling coroutine waits for it unless it is there.
     *
     * @throws CompletionException with what was passed to {@link #fail}
     */
    public T await() {
        Object now = state.get();
        if (now == Progress.PENDING) {
            // A completion from another thread between this line and the suspension is posted to the loop, which is
            // busy
            // with this coroutine; so the wake-up cannot come before the suspension.
            if (state.compareAndSet(Progress.PENDING, loop.currentCoroutine())) {
                loop.suspendCurrent();
            }
        } else if (now != Progress.DONE) {
            throw new IllegalStateException("another coroutine waits for this result");
        }
        if (failure != null) {
            throw new CompletionException(failure);
        }
        return requireNonNull(value);
    }
}

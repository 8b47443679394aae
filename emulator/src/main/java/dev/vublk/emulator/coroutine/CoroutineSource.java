// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.coroutine;

import java.util.concurrent.Executor;
import org.jspecify.annotations.Nullable;

/**
 * Where one loop takes its coroutines from. Called on the loop's thread only.
 *
 * <p>A port for measurements and tests alone: the product has {@link CoroutinePool} and nothing else, so the calls have one
 * target, which the compiler inlines. Other designs live among the tests and are put under the real path there. The
 * alternatives were options of the product for designs that nobody should use, or classes of the same name that come earlier
 * on the class path.
 */
public interface CoroutineSource extends AutoCloseable {

    /** An idle coroutine, or null: then the request waits its turn, until one is released or the loop is told. */
    @Nullable
    Coroutine take();

    /** As {@link #take}, but never null: for the loop itself, which cannot wait for its turn. */
    Coroutine takeRegardless();

    /** Whether the next {@link #take} will succeed; so a caller can ask before it commits itself. */
    boolean canTake();

    /** Takes an idle coroutine back. */
    void release(Coroutine coroutine);

    /** Forgets a coroutine that was taken, for example because an exception ended it. */
    void discard(Coroutine coroutine);

    /** Ends a period: gives up what the last one did not need. Returns whether another period can free more. */
    boolean shrink();

    /** Each coroutine that is out and where it waits, for diagnosis. */
    String dump();

    /** The loop ends; no coroutine is out any more. */
    @Override
    void close();

    /** Makes the sources of all loops of a process, which may share what is behind them. Any thread. */
    @FunctionalInterface
    interface Maker {
        /**
         * A new loop's source.
         *
         * @param loop runs tasks on the loop's thread soon, callable from any thread
         * @param onAvailable run on the loop's thread after {@link #take} or {@link #canTake} has failed, when another try
         *     is worthwhile
         */
        CoroutineSource newSource(Executor loop, Runnable onAvailable);
    }
}

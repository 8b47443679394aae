// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.coroutine;

/**
 * A loop that runs coroutines, as those who let coroutines wait see it: mutexes, queues, channels.
 *
 * <p>Called on the loop's own thread only, unless said otherwise.
 */
public interface CoroutineLoop {

    /** The coroutine that is running now. Throws {@link IllegalStateException} outside of coroutines. */
    Coroutine currentCoroutine();

    /** Suspends the running coroutine until somebody passes it to {@link #wake}. The caller keeps no lock meanwhile. */
    void suspendCurrent();

    /** Lets a suspended coroutine of this loop go on, later in this pass or in the next. Once per suspension. */
    void wake(Coroutine coroutine);

    /** Runs {@code task} on the loop's thread soon; the task may not suspend. Any thread. */
    void execute(Runnable task);

    /** Whether the calling thread is the loop's. Any thread. */
    boolean inLoop();
}

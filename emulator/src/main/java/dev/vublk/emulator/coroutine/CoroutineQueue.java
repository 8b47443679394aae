// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.coroutine;

import static java.util.Objects.requireNonNull;

import dev.vublk.blockdev.IoContext;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;

/**
 * Coroutines of one loop that wait for something to happen, first in first out. Runs on its loop's thread, but for
 * {@link #wakeAllFromAnyThread}. Allocates nothing.
 */
public final class CoroutineQueue implements IoContext.WaitQueue {
    private final CoroutineLoop loop;
    private final WaitingCoroutines waiting = new WaitingCoroutines();
    private final AtomicBoolean wakeAllPosted = new AtomicBoolean();
    private final Runnable wakeAllTask = this::onWakeAllPosted;

    public CoroutineQueue(CoroutineLoop loop) {
        this.loop = requireNonNull(loop, "loop");
    }

    @Override
    public void await() {
        waiting.add(loop.currentCoroutine());
        loop.suspendCurrent();
    }

    @Override
    public void wakeOne() {
        Coroutine first = waiting.poll();
        if (first != null) {
            loop.wake(first);
        }
    }

    @Override
    public void wakeAll() {
        // Up to the one that is last now: whoever is woken may come back to wait for the next time.
        Coroutine last = waiting.last();
        @Nullable Coroutine woken = null;
        while (woken != last) {
            woken = waiting.poll();
            loop.wake(requireNonNull(woken));
        }
    }

    @Override
    public boolean isEmpty() {
        return waiting.isEmpty();
    }

    @Override
    public void wakeAllFromAnyThread() {
        if (wakeAllPosted.compareAndSet(false, true)) {
            loop.execute(wakeAllTask);
        }
    }

    private void onWakeAllPosted() {
        // Cleared first: a call that comes after this line posts again, one that came before is served by this wakeAll.
        wakeAllPosted.set(false);
        wakeAll();
    }
}

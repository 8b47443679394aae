// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev;

import dev.vublk.blockdev.IoContext.WaitQueue;
import java.util.function.Supplier;

/**
 * Who may take one of a few things of a loop: in the order in which they came, when there is none left. Runs on its loop;
 * allocates nothing.
 *
 * <p>Whoever waits is woken when one is given back, and goes on a little later. Until then that one is promised: if whoever came
 * meanwhile could take it, somebody might wait for ever.
 */
public final class TurnQueue {
    private final Supplier<? extends WaitQueue> waiting;

    /** How many are free, but for somebody who has been woken. */
    private int promised;

    /** @param waiting the queue in which to wait, of nobody else */
    public TurnQueue(Supplier<? extends WaitQueue> waiting) {
        this.waiting = waiting;
    }

    /** Returns when the caller may take one, which it does before it does anything else; {@code free} is how many there are now. */
    public void await(int free) {
        if (free <= promised) {
            waiting.get().await();
            promised--;
        }
    }

    /** One is free again, and counts among them; or the one who might have taken it has not. */
    public void onFree() {
        WaitQueue queue = waiting.get();
        if (!queue.isEmpty()) {
            promised++;
            queue.wakeOne();
        }
    }
}

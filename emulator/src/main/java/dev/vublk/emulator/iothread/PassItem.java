// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.iothread;

/**
 * A piece of work that an {@link IOThread} runs in a pass, inside a coroutine: it may suspend.
 *
 * <p>An item is in the loop's queue at most once. When it suspends, the coroutine keeps what it was doing, and an item that
 * says so in {@link #goesOnElsewhere} is run again at once by the coroutine that takes the loop over.
 */
public abstract class PassItem {
    /** Whether the item waits in the loop's queue. Owned by the IOThread. */
    boolean queued;

    /** Does some bounded amount of work. Runs on its IOThread, in a coroutine. */
    protected abstract void run();

    /** Whether somebody else must go on with the item while the present run is suspended. */
    protected boolean goesOnElsewhere() {
        return false;
    }

    /** The run threw something that nobody handled. */
    public abstract void onFailure(Throwable failure);
}

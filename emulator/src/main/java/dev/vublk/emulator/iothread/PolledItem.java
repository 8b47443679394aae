// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.iothread;

/**
 * An item whose work the loop can find by looking at memory: a virtqueue. While it is active the loop polls it; when it has
 * had nothing to do for a while its descriptor alone is watched. Called on the IOThread; nothing here may suspend.
 */
public abstract class PolledItem extends PassItem {
    /** Whether the item is on the loop's poll list. Owned by {@link AdaptivePoller}. */
    boolean polled;

    /** When it last had something to do. Owned by {@link AdaptivePoller}. */
    long lastActiveNs;

    /** Whether the loop polls the item now, and tells it before it sleeps. */
    protected final boolean isPolled() {
        return polled;
    }

    /** Looks once. Returns whether there is work. */
    protected abstract boolean poll();

    /**
     * A fault was noticed after {@link #poll} or {@link #onPollBegin} of some item: one that has touched memory which is gone
     * finds out that it is the one.
     */
    protected abstract void onFaultWhilePolling();

    /** From now on the loop looks: whoever makes work need not signal it. May be called while it looks already. */
    protected abstract void onPollBegin();

    /**
     * The loop is about to sleep: who makes work must signal it from now on.
     *
     * @return whether something came in before that was said
     */
    protected abstract boolean onPollEnd();
}

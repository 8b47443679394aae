// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser;

/**
 * What a device tells its session about queues that run. Control loop, in a coroutine that may wait. Calls after the session's
 * end do nothing.
 */
public interface QueueEvents {

    /** Requests were completed on a queue whose call descriptor is {@code IN_BAND}. */
    void onUsed(int queueIndex);

    /**
     * A queue waits for translations that the session does not know; when they have been asked for, the session answers by {@link
     * VhostUserDevice#translated} with the same array.
     *
     * @param misses as {@link dev.vublk.vhostuser.virtqueue.IovaMiss}
     */
    void onUntranslated(int queueIndex, long[] misses);

    /** The queue is broken and serves nothing any more; its error eventfd, if it has one, was signalled already. */
    void onBroken(int queueIndex);
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.virtqueue;

import dev.vublk.vhostuser.memory.DirtyLog;

/**
 * Where a queue logs what it writes to guest memory. Handed to its IOThread as a whole.
 *
 * @param pages the log
 * @param usedGuestAddress guest-physical address of the used ring, or {@link #UNLOGGED}
 * @param eventFd eventfd to write when something has been logged, or -1
 */
public record QueueLog(DirtyLog pages, long usedGuestAddress, int eventFd) {
    /** The used ring is not logged (VHOST_VRING_F_LOG is not set): no used ring, which is aligned, lies there. */
    public static final long UNLOGGED = -1;
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.virtqueue;

import dev.vublk.vhostuser.memory.HostMemory;

/**
 * One queue's part of an in-flight region, checked to lie in it, as it is handed to the queue.
 *
 * @param hostAddress where it begins, 8-byte aligned
 * @param descCount how many descriptors it has room for, at least as many as the ring has
 * @param ringIsNew the ring has been begun anew since a queue used the block, and returned everything: what the block says of
 *     where the ring stands is then no longer so, unless something is in flight in it
 * @param faults {@link InflightFaults#NONE}, but for tests
 */
public record InflightBlock(long hostAddress, int descCount, boolean ringIsNew, InflightFaults faults) {

    /** Whether a queue has used it before: there may be something to recover. */
    public boolean isInUse() {
        return HostMemory.getU16(hostAddress + InflightLayout.VERSION) != 0;
    }

    /** The same block for a test that lets the queue fail. */
    public InflightBlock withFaults(InflightFaults newFaults) {
        return new InflightBlock(hostAddress, descCount, ringIsNew, newFaults);
    }
}

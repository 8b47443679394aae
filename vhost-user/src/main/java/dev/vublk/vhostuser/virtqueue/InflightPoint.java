// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.virtqueue;

/**
 * Where a process may die between two writes to ring and in-flight region, in the order in which a request comes by. Each
 * is safe, for the reason given; tests stop at each.
 */
public enum InflightPoint {
    /** Nothing of a fresh block is written but its used index: it is still fresh. */
    BLOCK_PREPARED,
    /** A chain is taken from the available ring, which nothing tells: it is taken again. */
    TAKEN,
    /** It has its counter, but does not count as in flight: it is taken again. */
    COUNTED,
    /** It is in flight: it is run again, and the available ring goes on behind it. */
    MARKED,
    /** It is done, but the driver has not been told: it is run again. */
    DONE,
    /** The used element is there, but not the index that shows it: it is run again. */
    ELEMENT_WRITTEN,
    /** The chain knows which one was done before it: it is run again. */
    NEXT_WRITTEN,
    /** The chain is at the head of the batch, whose size is still 0: it is run again. */
    LINKED,
    /** A batch is complete but for the used index: all of it is run again. */
    BATCH_LINKED,
    /** The driver sees the batch; that many from its head on are cleared as not in flight. */
    PUBLISHED,
    /** Some of the batch are cleared; they are cleared again. */
    ENTRY_CLEARED,
    /** All of the batch is cleared; they are cleared again. */
    BATCH_CLEARED,
    /** The used indexes of ring and region are the same again: the next batch begins. */
    COMMITTED,
    /** A recovery has cleared some of the last batch: the next one clears them again. */
    RECOVERY_ENTRY_CLEARED,
    /** A recovery has cleared the last batch: the next one does it again. */
    RECOVERY_BATCH_CLEARED,
    /** A recovery is done. */
    RECOVERY_COMMITTED
}

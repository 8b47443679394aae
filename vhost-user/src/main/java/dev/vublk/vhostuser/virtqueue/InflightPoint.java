// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.virtqueue;

/**
 * Where a process may die between two writes to ring and in-flight region, in the order in which a request comes by. Each
 * is safe, for the reason given; tests stop at each. Some are of packed rings only.
 */
public enum InflightPoint {
    /** Nothing of a fresh block is written but its used index: it is still fresh. */
    BLOCK_PREPARED,
    /** A chain is taken from the available ring, which nothing tells: it is taken again. */
    TAKEN,
    /** It has its counter, but does not count as in flight: it is taken again. */
    COUNTED,
    /** Packed: its descriptors are saved, in entries that are still free: it is taken again. */
    SAVED,
    /** It is in flight: it is run again, and the available ring goes on behind it. */
    MARKED,
    /** It is done, but the driver has not been told: it is run again. */
    DONE,
    /** The used element is there, but not the index that shows it: it is run again. */
    ELEMENT_WRITTEN,
    /** The chain knows which one was done before it: it is run again. */
    NEXT_WRITTEN,
    /**
     * The chain is at the head of the batch, whose size is still 0: it is run again. Packed: the free list begins with the whole
     * batch, but the old one does not: all of it is run again.
     */
    LINKED,
    /** A batch is complete but for the used index (packed: but for its first used descriptor): all of it is run again. */
    BATCH_LINKED,
    /** The driver sees the batch; that many from its head on are cleared as not in flight. */
    PUBLISHED,
    /** Some of the batch are cleared; they are cleared again. */
    ENTRY_CLEARED,
    /** All of the batch is cleared; they are cleared again. */
    BATCH_CLEARED,
    /** Packed: the entries are free, but the used position is still the old one: the ring tells that the batch was published. */
    LIST_FREED,
    /** The used indexes of ring and region are the same again: the next batch begins. */
    COMMITTED,
    /** A recovery has cleared some of the last batch: the next one clears them again. */
    RECOVERY_ENTRY_CLEARED,
    /** A recovery has cleared the last batch: the next one does it again. */
    RECOVERY_BATCH_CLEARED,
    /** Packed: the free list is as it was before the batch, or behind it; the used position tells that this is not all. */
    RECOVERY_LIST_RESTORED,
    /** A recovery is done. */
    RECOVERY_COMMITTED,
    /** Packed: a used descriptor of a batch that nobody saw has gone; the next recovery looks for the others. */
    RECOVERY_SLOT_CLEANED;

    /** Whether queues of the other kind never come by. */
    public boolean isPackedOnly() {
        return switch (this) {
            case SAVED, LIST_FREED, RECOVERY_LIST_RESTORED, RECOVERY_SLOT_CLEANED -> true;
            default -> false;
        };
    }
}

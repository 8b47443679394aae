// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.virtqueue;

import static dev.vublk.vhostuser.virtqueue.InflightLayout.DESC_NUM;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.PACKED_DESC;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.PACKED_DESC_ADDR;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.PACKED_DESC_BYTES;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.PACKED_DESC_COUNTER;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.PACKED_DESC_ID_FLAGS_LEN;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.PACKED_DESC_INFLIGHT;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.PACKED_DESC_NEXT;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.PACKED_FREE_HEADS;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.PACKED_USED;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.VERSION;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.VERSION_IN_USE;

import dev.vublk.vhostuser.memory.HostMemory;

/**
 * What of a packed virtqueue is in flight, kept where it outlives this process (vhost-user, "Inflight I/O tracking"). Runs on
 * the queue's IOThread; what a predecessor left is found by {@link PackedRecovery} before.
 *
 * <p>A used descriptor overwrites one that was available, perhaps of a chain that is still in flight: so a block holds copies
 * of the descriptors, in entries that form lists. The invariant, whenever the process dies: the list from
 * {@code old_free_head} holds the free entries, all others belong to chains in flight, and these take the slots from
 * {@code old_used_idx} on, as many as they have descriptors. So a chain is taken when {@code old_free_head} moves behind its
 * entries, and returned when {@code old_free_head} and {@code old_used_idx} have moved on. Between the ring's used
 * descriptor and that, a {@code used_idx} that differs tells that the batch has to be looked for in the ring.
 *
 * <p>The specification puts a used chain at the head of the free list at once, which is right when no chain is taken before the
 * next commit. Here a pass takes and returns in turn, so the chains of a batch are put there at the end of it, before the
 * first used descriptor is shown. {@code used_idx} and its wrap counter, and each pair of a new and an old value, are one store.
 *
 * <p>As in {@link SplitInflight} it is the order of our own stores that matters: release stores keep it.
 */
final class PackedInflight {
    private final long block;
    private final int descCount;
    private final InflightFaults faults;

    /** What was in flight before this process. */
    private final PackedRecovery recovered;
    /** How many of {@link #recovered} were given out again. */
    private int recoveredTaken;

    /**
     * The {@code next} of each entry, and the {@code last} of each first one. Ours, because the front end could write what is in
     * the region.
     */
    private final int[] next;

    private final int[] last;

    /** The first free entry; {@link #descCount} when there is none. */
    private int freeHead;
    /** The next free entry while a chain is being saved. */
    private int cursor;

    private int cursorLast;
    private long nextCounter;

    /** First entries of the chains that are used but not published, in their order. */
    private final int[] batch;

    private int batchCount;
    /** What {@link #freeHead} will be when the batch is published. */
    private int linkedHead;
    /** The used position and wrap counter as they were last committed, in the form of {@link #usedField}. */
    private int committed;

    private int linked;

    /** Goes on with what has been recovered from {@code block}. */
    PackedInflight(InflightBlock block, PackedRecovery recovered) {
        this.block = block.hostAddress();
        this.descCount = block.descCount();
        this.faults = block.faults();
        this.recovered = recovered;
        next = recovered.next;
        last = recovered.last;
        freeHead = recovered.freeHead;
        nextCounter = recovered.nextCounter;
        committed = recovered.used;
        batch = new int[descCount];
    }

    // ---- the fields of a block

    static long desc(long block, int entry) {
        return block + PACKED_DESC + (long) PACKED_DESC_BYTES * entry;
    }

    /** A used position and its wrap counter in one int. */
    static int usedField(int position, boolean wrap) {
        return position | (wrap ? 1 << Short.SIZE : 0);
    }

    static void putFreeHeads(long block, int freeHead, int oldFreeHead) {
        HostMemory.putIntRelease(block + PACKED_FREE_HEADS, freeHead | oldFreeHead << Short.SIZE);
    }

    static void putUsed(long block, int used, int oldUsed) {
        long positions = (used & 0xffff) | (oldUsed & 0xffffL) << 16;
        long wraps = (long) (used >>> Short.SIZE) << 32 | (long) (oldUsed >>> Short.SIZE) << 40;
        HostMemory.putLongRelease(block + PACKED_USED, positions | wraps);
    }

    /** Makes a fresh block one in use, with nothing in flight. A ring need not begin at 0: it may have migrated. */
    static void prepare(InflightBlock fresh, int used) {
        long at = fresh.hostAddress();
        HostMemory.putLong(at + InflightLayout.FEATURES, 0);
        HostMemory.putU16(at + DESC_NUM, fresh.descCount());
        for (int entry = 0; entry < fresh.descCount(); entry++) {
            HostMemory.putLong(desc(at, entry) + PACKED_DESC_INFLIGHT, (long) (entry + 1) << 16);
        }
        putFreeHeads(at, 0, 0);
        putUsed(at, used, used);
        fresh.faults().reached(InflightPoint.BLOCK_PREPARED);
        HostMemory.putU16Release(at + VERSION, VERSION_IN_USE);
    }

    // ---- chains of a predecessor

    /** Whether some of them have not been given out again. */
    boolean hasRecovered() {
        return recoveredTaken < recovered.chainCount();
    }

    /** The number, in {@link #recovered}, of the next of them. */
    int nextRecovered() {
        return recoveredTaken;
    }

    /** That one has been given out. */
    void takeRecovered() {
        recoveredTaken++;
    }

    PackedRecovery recovered() {
        return recovered;
    }

    // ---- a request's way

    /** A chain is going to be taken from the ring. */
    void begin() {
        faults.reached(InflightPoint.TAKEN);
        cursor = freeHead;
    }

    /**
     * Copies a descriptor of the chain.
     *
     * @param half its second half, as in {@link PackedVirtqueueLayout#DESC_LEN_ID_FLAGS}
     * @return false when there is no room, which only a driver that reuses descriptors can achieve
     */
    boolean save(long guestAddress, long half) {
        if (cursor == descCount) {
            return false;
        }
        long entry = desc(block, cursor);
        HostMemory.putLong(entry + PACKED_DESC_ADDR, guestAddress);
        HostMemory.putLong(entry + PACKED_DESC_ID_FLAGS_LEN, Long.rotateRight(half, Integer.SIZE));
        cursorLast = cursor;
        cursor = next[cursor];
        return true;
    }

    /**
     * The whole chain has been saved: it is in flight.
     *
     * @return its entry, for {@link #used(int)}
     */
    int take(int slots) {
        int head = freeHead;
        long entry = desc(block, head);
        HostMemory.putLong(entry + PACKED_DESC_COUNTER, nextCounter++);
        faults.reached(InflightPoint.COUNTED);
        last[head] = cursorLast;
        HostMemory.putLong(
                entry + PACKED_DESC_INFLIGHT,
                1 | (long) next[head] << 16 | (long) cursorLast << 32 | (long) slots << 48);
        faults.reached(InflightPoint.SAVED);
        freeHead = cursor;
        putFreeHeads(block, freeHead, freeHead);
        faults.reached(InflightPoint.MARKED);
        return head;
    }

    void reached(InflightPoint point) {
        faults.reached(point);
    }

    /** A chain's used descriptor has been written, or is the one that is held back: it joins the batch. */
    void used(int entry) {
        faults.reached(InflightPoint.ELEMENT_WRITTEN);
        batch[batchCount++] = entry;
    }

    /** The batch is complete and ends at that position: all is ready for the driver to see it. */
    void link(int usedPosition, boolean usedWrap) {
        int head = freeHead;
        for (int i = 0; i < batchCount; i++) {
            int tail = last[batch[i]];
            next[tail] = head;
            HostMemory.putU16(desc(block, tail) + PACKED_DESC_NEXT, head);
            faults.reached(InflightPoint.NEXT_WRITTEN);
            head = batch[i];
        }
        linkedHead = head;
        putFreeHeads(block, head, freeHead);
        faults.reached(InflightPoint.LINKED);
        linked = usedField(usedPosition, usedWrap);
        putUsed(block, linked, committed);
        faults.reached(InflightPoint.BATCH_LINKED);
    }

    /** The driver sees the batch: it is no longer in flight. */
    void commit() {
        faults.reached(InflightPoint.PUBLISHED);
        for (int i = 0; i < batchCount; i++) {
            // Release: not before the used descriptor.
            HostMemory.putByteRelease(desc(block, batch[i]) + PACKED_DESC_INFLIGHT, (byte) 0);
            faults.reached(InflightPoint.ENTRY_CLEARED);
        }
        batchCount = 0;
        faults.reached(InflightPoint.BATCH_CLEARED);
        freeHead = linkedHead;
        putFreeHeads(block, freeHead, freeHead);
        faults.reached(InflightPoint.LIST_FREED);
        committed = linked;
        putUsed(block, committed, committed);
        faults.reached(InflightPoint.COMMITTED);
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.virtqueue;

import static dev.vublk.vhostuser.virtqueue.InflightLayout.DESC_NUM;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.FEATURES;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.SPLIT_DESC;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.SPLIT_DESC_BYTES;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.SPLIT_DESC_COUNTER;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.SPLIT_DESC_INFLIGHT;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.SPLIT_DESC_NEXT;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.SPLIT_LAST_BATCH_HEAD;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.SPLIT_USED_IDX;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.VERSION;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.VERSION_IN_USE;

import dev.vublk.vhostuser.memory.HostMemory;
import java.util.BitSet;
import java.util.Comparator;
import java.util.List;

/**
 * What of a split virtqueue is in flight, kept where it outlives this process (vhost-user, "Inflight I/O tracking").
 * Recovers on the control loop, then runs on the queue's IOThread.
 *
 * <p>The invariant, whenever the process dies: what has been taken from the available ring is what the used index counts
 * and the entries in flight, nothing else. So a recovery goes on at used index plus entries in flight, and whoever was
 * taken but not marked is taken again. A batch between used index and its clearing is the exception, and is told by a
 * region whose used index is behind the ring's.
 *
 * <p>A process that is killed has done its stores in the order of its instructions, so what matters is that the compiler
 * keeps that order, and that a successor on another processor sees it: release stores do both.
 */
final class SplitInflight {
    private final long block;
    private final int descCount;
    private final int ringSize;
    private final InflightFaults faults;

    /** Heads in flight since before this process, in the order in which they were taken. */
    private int[] recovered = {};
    /** How many of {@link #recovered} were given out again. */
    private int recoveredTaken;

    /** Heads of the batch that is not published yet. Ours, because the front end could write what is in the region. */
    private final int[] batch;

    private int batchCount;
    private int lastBatchHead;
    private long nextCounter;

    SplitInflight(InflightBlock block, int ringSize) {
        this.block = block.hostAddress();
        this.descCount = block.descCount();
        this.ringSize = ringSize;
        this.faults = block.faults();
        batch = new int[ringSize];
    }

    // ---- recovery

    /**
     * Brings the block to the state of the ring, and finds what was in flight.
     *
     * @return what is wrong with the block, so that nothing can be recovered from it; empty when all is well
     */
    String recover(int usedIdx) {
        int version = HostMemory.getU16(block + VERSION);
        if (version == 0) {
            prepare(usedIdx);
            return "";
        }
        if (version != VERSION_IN_USE
                || HostMemory.getLong(block + FEATURES) != 0
                || HostMemory.getU16(block + DESC_NUM) != descCount) {
            return "in-flight region of another kind or size";
        }
        BitSet inFlight = findInFlight();
        if (inFlight.length() > ringSize) {
            return "in-flight head beyond the descriptor table";
        }
        lastBatchHead = HostMemory.getU16(block + SPLIT_LAST_BATCH_HEAD);
        // With nothing in flight any used index will do: the driver may have begun anew on a drained ring.
        if (!inFlight.isEmpty()) {
            int unfinished = (usedIdx - HostMemory.getU16(block + SPLIT_USED_IDX)) & 0xffff;
            if (unfinished > ringSize) {
                return "in-flight region that does not belong to the ring";
            }
            if (!findLastBatch(unfinished)) {
                return "last batch beyond the descriptor table";
            }
            for (int i = 0; i < unfinished; i++) {
                inFlight.clear(batch[i]);
            }
            clear(unfinished, InflightPoint.RECOVERY_ENTRY_CLEARED);
        }
        faults.reached(InflightPoint.RECOVERY_BATCH_CLEARED);
        HostMemory.putU16Release(block + SPLIT_USED_IDX, usedIdx);
        faults.reached(InflightPoint.RECOVERY_COMMITTED);
        order(inFlight);
        return "";
    }

    /** A fresh block begins where the ring is, which need not be 0: the driver may have reconnected or migrated. */
    private void prepare(int usedIdx) {
        HostMemory.putU16(block + DESC_NUM, descCount);
        HostMemory.putU16(block + SPLIT_USED_IDX, usedIdx);
        faults.reached(InflightPoint.BLOCK_PREPARED);
        HostMemory.putU16Release(block + VERSION, VERSION_IN_USE);
    }

    private BitSet findInFlight() {
        BitSet found = new BitSet(descCount);
        for (int head = 0; head < descCount; head++) {
            found.set(head, HostMemory.getByte(desc(head) + SPLIT_DESC_INFLIGHT) != 0);
        }
        return found;
    }

    /** Walks back from the head of the last batch into {@link #batch}; false when that leads nowhere. */
    private boolean findLastBatch(int count) {
        int head = lastBatchHead;
        for (int i = 0; i < count; i++) {
            if (head >= ringSize) {
                return false;
            }
            batch[i] = head;
            head = HostMemory.getU16(desc(head) + SPLIT_DESC_NEXT);
        }
        return true;
    }

    private void order(BitSet inFlight) {
        record Taken(int head, long counter) {}
        List<Taken> taken = inFlight.stream()
                .mapToObj(head -> new Taken(head, HostMemory.getLong(desc(head) + SPLIT_DESC_COUNTER)))
                .sorted(Comparator.comparing(Taken::counter, Long::compareUnsigned))
                .toList();
        if (!taken.isEmpty()) {
            nextCounter = taken.getLast().counter() + 1;
        }
        recovered = taken.stream().mapToInt(Taken::head).toArray();
    }

    /** How many chains were in flight when this process began. */
    int recoveredCount() {
        return recovered.length;
    }

    /** Whether some of them have not been given out again. */
    boolean hasRecovered() {
        return recoveredTaken < recovered.length;
    }

    /** The next of them, without giving it out. */
    int nextRecovered() {
        return recovered[recoveredTaken];
    }

    /** The next of them; it is marked already. */
    int takeRecovered() {
        return recovered[recoveredTaken++];
    }

    // ---- a request's way

    /** A chain has been taken from the available ring. */
    void take(int head) {
        faults.reached(InflightPoint.TAKEN);
        HostMemory.putLong(desc(head) + SPLIT_DESC_COUNTER, nextCounter++);
        faults.reached(InflightPoint.COUNTED);
        HostMemory.putByteRelease(desc(head) + SPLIT_DESC_INFLIGHT, (byte) 1);
        faults.reached(InflightPoint.MARKED);
    }

    void reached(InflightPoint point) {
        faults.reached(point);
    }

    /**
     * A chain's used element has been written: it joins the batch.
     *
     * @return false when the batch would be larger than the ring, which only a driver that reuses chains can achieve
     */
    boolean link(int head) {
        faults.reached(InflightPoint.ELEMENT_WRITTEN);
        if (batchCount == batch.length) {
            return false;
        }
        batch[batchCount++] = head;
        HostMemory.putU16(desc(head) + SPLIT_DESC_NEXT, lastBatchHead);
        faults.reached(InflightPoint.NEXT_WRITTEN);
        // Release: never before the used index of the batch before this one, whose recovery begins at the old head.
        HostMemory.putU16Release(block + SPLIT_LAST_BATCH_HEAD, head);
        lastBatchHead = head;
        faults.reached(InflightPoint.LINKED);
        return true;
    }

    /** The driver sees the batch: it is no longer in flight. */
    void commit(int usedIdx) {
        faults.reached(InflightPoint.PUBLISHED);
        clear(batchCount, InflightPoint.ENTRY_CLEARED);
        batchCount = 0;
        faults.reached(InflightPoint.BATCH_CLEARED);
        // Release: only after everything is cleared.
        HostMemory.putU16Release(block + SPLIT_USED_IDX, usedIdx);
        faults.reached(InflightPoint.COMMITTED);
    }

    /** Release stores: none before the used index of the ring, which was written before. */
    private void clear(int count, InflightPoint afterEach) {
        for (int i = 0; i < count; i++) {
            HostMemory.putByteRelease(desc(batch[i]) + SPLIT_DESC_INFLIGHT, (byte) 0);
            faults.reached(afterEach);
        }
    }

    private long desc(int head) {
        return block + SPLIT_DESC + (long) SPLIT_DESC_BYTES * head;
    }
}

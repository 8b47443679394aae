// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.virtqueue;

import static dev.vublk.vhostuser.virtqueue.InflightLayout.DESC_NUM;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.FEATURES;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.PACKED_DESC_ADDR;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.PACKED_DESC_COUNTER;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.PACKED_DESC_ID_FLAGS_LEN;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.PACKED_DESC_INFLIGHT;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.PACKED_FREE_HEADS;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.PACKED_USED;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.VERSION;
import static dev.vublk.vhostuser.virtqueue.InflightLayout.VERSION_IN_USE;
import static dev.vublk.vhostuser.virtqueue.PackedInflight.desc;
import static dev.vublk.vhostuser.virtqueue.PackedVirtqueueLayout.DESC_BYTES;
import static dev.vublk.vhostuser.virtqueue.PackedVirtqueueLayout.DESC_LEN_ID_FLAGS;

import dev.vublk.vhostuser.memory.HostMemory;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What a predecessor left in a packed virtqueue's in-flight block, brought to the state of the ring (vhost-user, "Inflight
 * I/O tracking", "When reconnecting"). Control loop.
 *
 * <p>The block is the front end's: each field is read once, and everything is checked before anything is written. Every
 * entry must be in the free list or in one chain in flight, exactly once.
 */
final class PackedRecovery {
    private final InflightBlock whole;
    private final long block;
    private final int descCount;
    private final int ringSize;
    private final InflightFaults faults;

    // What PackedInflight goes on with.
    final int[] next;
    final int[] last;
    int freeHead;
    long nextCounter;
    int used;

    private final BitSet free = new BitSet();

    /** The chains in flight in the order in which they were taken. */
    private List<Chain> chains = List.of();

    private int slotCount;
    private boolean isDone;

    /** A chain in flight, with its descriptors: address, second half, address, second half ... */
    private static final class Chain {
        private final int entry;
        private final long counter;
        private final long[] descriptors;

        private Chain(int entry, long counter, long[] descriptors) {
            this.entry = entry;
            this.counter = counter;
            this.descriptors = descriptors;
        }
    }

    PackedRecovery(InflightBlock block, int ringSize) {
        this.whole = block;
        this.block = block.hostAddress();
        this.descCount = block.descCount();
        this.ringSize = ringSize;
        this.faults = block.faults();
        next = new int[descCount];
        last = new int[descCount];
    }

    /**
     * Brings the block to the state of the ring, and finds what was in flight. A block that was in use knows where the ring
     * stands, whatever the front end says.
     *
     * @param told where the front end says that the ring stands
     * @return what is wrong with the block, so that nothing can be recovered from it; empty when all is well
     */
    String recover(PackedRingBase told, long ring) {
        boolean fresh = !whole.isInUse();
        if (fresh) {
            PackedInflight.prepare(whole, PackedInflight.usedField(told.usedPosition(), told.usedWrap()));
        }
        String damage = read(ring);
        if (damage.isEmpty() && (fresh || (whole.ringIsNew() && chains.isEmpty()))) {
            used = PackedInflight.usedField(told.usedPosition(), told.usedWrap());
            damage = told.slotsBehind(ringSize) == 0 ? "" : "requests in flight that no in-flight region tells of";
        }
        if (damage.isEmpty()) {
            write();
            isDone = true;
        }
        return damage;
    }

    private String read(long ring) {
        if (HostMemory.getU16(block + VERSION) != VERSION_IN_USE
                || HostMemory.getLong(block + FEATURES) != 0
                || HostMemory.getU16(block + DESC_NUM) != descCount) {
            return "in-flight region of another kind or size";
        }
        int freeHeads = HostMemory.getInt(block + PACKED_FREE_HEADS);
        long usedFields = HostMemory.getLong(block + PACKED_USED);
        int newUsed = (int) (usedFields & 0xffff) | (int) (usedFields >>> 32 & 0xff) << 16;
        int oldUsed = (int) (usedFields >>> 16 & 0xffff) | (int) (usedFields >>> 40 & 0xff) << 16;
        if (!isPosition(newUsed) || !isPosition(oldUsed)) {
            return "in-flight region with a used index beyond the ring";
        }
        // Both together: a batch that goes once round the ring ends where it began, with the other wrap counter.
        boolean commits = newUsed != oldUsed && isPublished(ring, oldUsed);
        used = commits ? newUsed : oldUsed;
        freeHead = commits ? freeHeads & 0xffff : freeHeads >>> 16;
        String damage = findFree();
        return damage.isEmpty() ? findChains() : damage;
    }

    private boolean isPosition(int usedField) {
        return (usedField & 0xffff) < ringSize && usedField >>> 17 == 0;
    }

    /**
     * Whether the driver has been shown the batch that began there: its first used descriptor lies where an available one was.
     * The driver may have made that slot available again since, but in its next lap, with other marks.
     */
    private static boolean isPublished(long ring, int oldUsed) {
        long half = HostMemory.getLongAcquire(ring + (long) DESC_BYTES * (oldUsed & 0xffff) + DESC_LEN_ID_FLAGS);
        return (half & PackedVirtqueue.MARKS) != PackedVirtqueue.availMarks(oldUsed >>> 16 != 0);
    }

    private static int nextOf(long word) {
        return (int) (word >>> 16 & 0xffff);
    }

    private String findFree() {
        for (int entry = freeHead; entry != descCount; entry = next[entry]) {
            if (entry > descCount || free.get(entry)) {
                return "free list of the in-flight region leads nowhere";
            }
            free.set(entry);
            next[entry] = nextOf(HostMemory.getLong(desc(block, entry) + PACKED_DESC_INFLIGHT));
        }
        return "";
    }

    /** Entries that are not free are in flight. */
    private String findChains() {
        BitSet found = (BitSet) free.clone();
        List<Chain> inFlight = new ArrayList<>();
        for (int entry = free.nextClearBit(0); entry < descCount; entry = free.nextClearBit(entry + 1)) {
            long word = HostMemory.getLong(desc(block, entry) + PACKED_DESC_INFLIGHT);
            if ((word & 0xff) != 0) {
                Chain chain = readChain(entry, word, found);
                if (chain == null) {
                    return "chain in the in-flight region leads nowhere";
                }
                inFlight.add(chain);
                slotCount += chain.descriptors.length / 2;
            }
        }
        if (found.cardinality() != descCount) {
            return "entries of the in-flight region are neither free nor in flight";
        }
        if (slotCount > ringSize) {
            return "more in flight than the ring has descriptors";
        }
        inFlight.sort((a, b) -> Long.compareUnsigned(a.counter, b.counter));
        if (!inFlight.isEmpty()) {
            nextCounter = inFlight.getLast().counter + 1;
        }
        chains = inFlight;
        return "";
    }

    /** Null when there is no such chain. */
    private @Nullable Chain readChain(int head, long word, BitSet found) {
        int count = (int) (word >>> 48);
        int tail = (int) (word >>> 32 & 0xffff);
        if (count == 0 || count > ringSize) {
            return null;
        }
        long[] descriptors = new long[2 * count];
        int entry = head;
        int before = head;
        for (int i = 0; i < count; i++) {
            if (entry >= descCount || found.get(entry)) {
                return null;
            }
            found.set(entry);
            long at = desc(block, entry);
            descriptors[2 * i] = HostMemory.getLong(at + PACKED_DESC_ADDR);
            descriptors[2 * i + 1] = Long.rotateLeft(HostMemory.getLong(at + PACKED_DESC_ID_FLAGS_LEN), Integer.SIZE);
            next[entry] = entry == head ? nextOf(word) : nextOf(HostMemory.getLong(at + PACKED_DESC_INFLIGHT));
            before = entry;
            entry = next[entry];
        }
        last[head] = tail;
        return before == tail
                ? new Chain(head, HostMemory.getLong(desc(block, head) + PACKED_DESC_COUNTER), descriptors)
                : null;
    }

    /** The used position comes last: until then the next recovery finds the same. */
    private void write() {
        for (int entry = free.nextSetBit(0); entry >= 0; entry = free.nextSetBit(entry + 1)) {
            HostMemory.putByteRelease(desc(block, entry) + PACKED_DESC_INFLIGHT, (byte) 0);
            faults.reached(InflightPoint.RECOVERY_ENTRY_CLEARED);
        }
        faults.reached(InflightPoint.RECOVERY_BATCH_CLEARED);
        PackedInflight.putFreeHeads(block, freeHead, freeHead);
        faults.reached(InflightPoint.RECOVERY_LIST_RESTORED);
        PackedInflight.putUsed(block, used, used);
        faults.reached(InflightPoint.RECOVERY_COMMITTED);
    }

    // ---- what was found

    /** Where the ring stands: the chains in flight take its slots from the used position on. {@code told} if nothing is known. */
    PackedRingBase base(PackedRingBase told) {
        if (!isDone) {
            return told;
        }
        int usedPosition = used & 0xffff;
        boolean usedWrap = used >>> 16 != 0;
        int availPosition = usedPosition + slotCount;
        return availPosition < ringSize
                ? new PackedRingBase(availPosition, usedWrap, usedPosition, usedWrap)
                : new PackedRingBase(availPosition - ringSize, !usedWrap, usedPosition, usedWrap);
    }

    int chainCount() {
        return chains.size();
    }

    int entry(int chain) {
        return chains.get(chain).entry;
    }

    /** Address and second half of each descriptor. */
    long[] descriptors(int chain) {
        return chains.get(chain).descriptors;
    }
}

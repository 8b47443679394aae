// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.virtqueue;

import static dev.vublk.vhostuser.virtqueue.VirtqueueLayout.AVAIL_FLAGS;
import static dev.vublk.vhostuser.virtqueue.VirtqueueLayout.AVAIL_IDX;
import static dev.vublk.vhostuser.virtqueue.VirtqueueLayout.AVAIL_RING;
import static dev.vublk.vhostuser.virtqueue.VirtqueueLayout.DESC_ADDR;
import static dev.vublk.vhostuser.virtqueue.VirtqueueLayout.DESC_BYTES;
import static dev.vublk.vhostuser.virtqueue.VirtqueueLayout.DESC_LEN_FLAGS_NEXT;
import static dev.vublk.vhostuser.virtqueue.VirtqueueLayout.USED_ELEM_BYTES;
import static dev.vublk.vhostuser.virtqueue.VirtqueueLayout.USED_FLAGS;
import static dev.vublk.vhostuser.virtqueue.VirtqueueLayout.USED_IDX;
import static dev.vublk.vhostuser.virtqueue.VirtqueueLayout.USED_RING;
import static dev.vublk.vhostuser.virtqueue.VirtqueueLayout.VIRTQ_AVAIL_F_NO_INTERRUPT;
import static dev.vublk.vhostuser.virtqueue.VirtqueueLayout.VIRTQ_DESC_F_INDIRECT;
import static dev.vublk.vhostuser.virtqueue.VirtqueueLayout.VIRTQ_DESC_F_NEXT;
import static dev.vublk.vhostuser.virtqueue.VirtqueueLayout.VIRTQ_DESC_F_WRITE;
import static dev.vublk.vhostuser.virtqueue.VirtqueueLayout.VIRTQ_USED_F_NO_NOTIFY;

import dev.vublk.vhostuser.memory.GuestMemory;
import dev.vublk.vhostuser.memory.HostMemory;
import java.lang.invoke.VarHandle;
import org.jspecify.annotations.Nullable;

/**
 * The device side of a split virtqueue (virtio 1.2 section 2.7). Runs on its IOThread.
 */
final class SplitVirtqueue extends Virtqueue {
    private static final int NO_HEAD = -1;
    private static final int BAD_HEAD = -2;

    private final int mask;
    private final long desc;
    private final long avail;
    private final long used;
    private final boolean eventIdx;
    private final boolean indirect;
    private final @Nullable SplitInflight inflight;

    /** Next entry of the available ring to take; free-running, the ring sees the low 16 bits. */
    private int availIdx;
    /** The driver's index when last read: entries before it are known to be there. */
    private int availSeen;
    /** Used elements written; free-running. */
    private int usedIdx;
    /** Used elements that the driver has been shown. */
    private int usedPublished;
    /** Value of {@link #usedPublished} when the driver was last signalled. */
    private int usedSignalled;

    private boolean kicksSuppressed;
    /** {@link #availIdx} when kicks were suppressed. */
    private int suppressedAtIdx;

    SplitVirtqueue(VirtqueueSetup setup) {
        super(setup);
        mask = size - 1;
        desc = setup.descHostAddress();
        avail = setup.availHostAddress();
        used = setup.usedHostAddress();
        eventIdx = (setup.features() & VirtioFeature.VIRTIO_F_EVENT_IDX) != 0;
        indirect = (setup.features() & VirtioFeature.VIRTIO_F_INDIRECT_DESC) != 0;
        usedIdx = HostMemory.getU16(used + USED_IDX);
        usedPublished = usedIdx;
        usedSignalled = usedIdx;
        InflightBlock block = setup.inflight();
        inflight = block == null ? null : recover(block);
        // Front ends that reconnect say different things; what was taken is what was used and what is in flight.
        availIdx = inflight == null ? setup.base() : usedIdx + inflight.recoveredCount();
        availSeen = availIdx;
        logPredecessor();
    }

    private SplitInflight recover(InflightBlock block) {
        SplitInflight recovered = new SplitInflight(block, size);
        String damage = recovered.recover(usedIdx);
        if (!damage.isEmpty()) {
            markBroken(damage);
        }
        return recovered;
    }

    @Override
    public int base() {
        return availIdx & 0xffff;
    }

    @Override
    public boolean hasRecovered() {
        return inflight != null && inflight.hasRecovered() && !isBroken();
    }

    @Override
    public boolean hasAvailable() {
        return !isBroken()
                && (availIdx != availSeen
                        || HostMemory.getU16(avail + AVAIL_IDX) != (availIdx & 0xffff)
                        || hasRecovered());
    }

    @Override
    public int pop(DescriptorChain chain) {
        if (isBroken()) {
            return BROKEN;
        }
        if (iotlb != null) {
            return popTranslated(iotlb, chain);
        }
        if (inflight != null && inflight.hasRecovered()) {
            int head = inflight.takeRecovered();
            chain.clear(head);
            return walk(chain, desc, head, size);
        }
        int head = nextHead();
        if (head < 0) {
            return head == NO_HEAD ? EMPTY : BROKEN;
        }
        availIdx++;
        if (inflight != null) {
            inflight.take(head);
        }
        chain.clear(head);
        return walk(chain, desc, head, size);
    }

    /** A chain is taken only when it is translated: until then the ring can be stopped as if nobody had looked at it. */
    private int popTranslated(QueueIotlb translation, DescriptorChain chain) {
        SplitInflight recovery = inflight != null && inflight.hasRecovered() ? inflight : null;
        int head = recovery == null ? nextHead() : recovery.nextRecovered();
        if (head < 0) {
            return head == NO_HEAD ? EMPTY : BROKEN;
        }
        translation.begin(chain);
        chain.clear(head);
        int result = walk(chain, desc, head, size);
        if (result != POPPED) {
            return result;
        }
        if (recovery != null) {
            recovery.takeRecovered();
        } else {
            availIdx++;
            if (inflight != null) {
                inflight.take(head);
            }
        }
        return POPPED;
    }

    /** The head of the next chain, which stays in the ring; {@link #NO_HEAD} when there is none, {@link #BAD_HEAD} when it broke the queue. */
    private int nextHead() {
        if (availIdx == availSeen) {
            // [A] Acquire: the entries and descriptors that the driver wrote before its index are read after it.
            int pending = (HostMemory.getU16Acquire(avail + AVAIL_IDX) - availIdx) & 0xffff;
            if (pending == 0) {
                return NO_HEAD;
            }
            if (pending > size) {
                markBroken("available index is ahead by more than the queue size");
                return BAD_HEAD;
            }
            availSeen = availIdx + pending;
        }
        int head = HostMemory.getU16(avail + AVAIL_RING + 2L * (availIdx & mask));
        if (head >= size) {
            markBroken("head index beyond the descriptor table");
            return BAD_HEAD;
        }
        return head;
    }

    /**
     * Follows a chain through the table, and through an indirect table at its end. A descriptor is read as two longs,
     * once; what the guest changes afterwards is not seen.
     */
    private int walk(DescriptorChain chain, long table, int first, int tableSize) {
        boolean inIndirectTable = false;
        boolean sawWritable = false;
        long totalBytes = 0;
        int index = first;
        for (int steps = 0; steps < chainLengthMax; steps++) {
            long entry = table + (long) DESC_BYTES * index;
            long guestAddress = HostMemory.getLong(entry + DESC_ADDR);
            long rest = HostMemory.getLong(entry + DESC_LEN_FLAGS_NEXT);
            long length = rest & 0xffffffffL;
            int flags = (int) (rest >>> 32) & 0xffff;
            if ((flags & VIRTQ_DESC_F_INDIRECT) != 0) {
                // Section 2.7.5.3: only when negotiated, never nested, never together with NEXT; WRITE is ignored.
                if (!indirect || inIndirectTable || (flags & VIRTQ_DESC_F_NEXT) != 0) {
                    return brokenBy("indirect descriptor where none may be");
                }
                if (length == 0 || length % DESC_BYTES != 0 || length / DESC_BYTES > chainLengthMax) {
                    return brokenBy("indirect table of a bad length");
                }
                table = table(guestAddress, length);
                if (table == GuestMemory.UNMAPPED) {
                    return withoutTable();
                }
                tableSize = (int) (length / DESC_BYTES);
                inIndirectTable = true;
                index = 0;
                continue;
            }
            boolean writable = (flags & VIRTQ_DESC_F_WRITE) != 0;
            if (sawWritable && !writable) {
                return brokenBy("readable buffer behind a writable one"); // Section 2.7.4.2
            }
            sawWritable = writable;
            totalBytes += length;
            if (totalBytes > CHAIN_BYTES_MAX) {
                return brokenBy("chain longer than 4 GiB");
            }
            if (!addBuffer(chain, guestAddress, length, writable)) {
                return BROKEN;
            }
            if ((flags & VIRTQ_DESC_F_NEXT) == 0) {
                return walked(chain);
            }
            index = (int) (rest >>> 48);
            if (index >= tableSize) {
                return brokenBy("next index beyond the descriptor table");
            }
        }
        return brokenBy("chain that loops or is too long");
    }

    @Override
    public void pushUsed(DescriptorChain chain, int writtenBytes) {
        pushUsed(chain.headIndex(), writtenBytes);
    }

    void pushUsed(int headIndex, int writtenBytes) {
        if (inflight == null) {
            writeUsed(headIndex, writtenBytes);
            return;
        }
        inflight.reached(InflightPoint.DONE);
        writeUsed(headIndex, writtenBytes);
        if (!inflight.link(headIndex)) {
            markBroken("more chains used at once than the queue has descriptors");
        }
    }

    private void writeUsed(int headIndex, int writtenBytes) {
        long element = used + USED_RING + (long) USED_ELEM_BYTES * (usedIdx & mask);
        // One store for id and length: elements are 4-byte aligned, so it is an unaligned long.
        HostMemory.putLong(element, (headIndex & 0xffffffffL) | (long) writtenBytes << 32);
        usedIdx++;
    }

    @Override
    public boolean hasUnpublished() {
        return usedIdx != usedPublished;
    }

    @Override
    public boolean publishUsed() {
        if (usedIdx == usedPublished) {
            return false;
        }
        if (inflight == null) {
            // Release: the elements and the data are visible before the index.
            HostMemory.putU16Release(used + USED_IDX, usedIdx);
        } else {
            inflight.reached(InflightPoint.BATCH_LINKED);
            HostMemory.putU16Release(used + USED_IDX, usedIdx);
            inflight.commit(usedIdx);
        }
        if (isLogging()) {
            logPublished();
        }
        usedPublished = usedIdx;
        // [B] Full fence: our index is visible before we look at what the driver asks for; pairs with the driver's
        // fence between writing used_event (or flags) and its last look at the used index (section 2.7.10).
        VarHandle.fullFence();
        boolean notify = eventIdx ? crossedUsedEvent() : interruptsWanted();
        if (notify) {
            // Only a signal that is really sent counts as one.
            usedSignalled = usedPublished;
        }
        return notify;
    }

    /** Logs the index and the elements since the last time: at most two pieces of the ring. */
    private void logPublished() {
        int first = usedPublished & mask;
        int count = usedIdx - usedPublished;
        int untilEnd = Math.min(count, size - first);
        logUsed(used, USED_RING + (long) USED_ELEM_BYTES * first, (long) USED_ELEM_BYTES * untilEnd);
        if (count > untilEnd) {
            logUsed(used, USED_RING, (long) USED_ELEM_BYTES * (count - untilEnd));
        }
        logUsed(used, USED_IDX, Short.BYTES);
    }

    @Override
    void logAllOfRing() {
        logUsed(used, 0, VirtqueueLayout.usedBytes(size));
    }

    private boolean interruptsWanted() {
        return (HostMemory.getU16(avail + AVAIL_FLAGS) & VIRTQ_AVAIL_F_NO_INTERRUPT) == 0;
    }

    /** Section 2.7.7.2: whether used_event lies in what was published since the last signal. */
    private boolean crossedUsedEvent() {
        int sinceSignal = usedPublished - usedSignalled;
        if (sinceSignal > 0xffff) {
            return true; // The 16-bit index went all the way round unsignalled: it no longer tells.
        }
        int usedEvent = HostMemory.getU16(avail + VirtqueueLayout.usedEventOffset(size));
        return ((usedPublished - usedEvent - 1) & 0xffff) < sinceSignal;
    }

    @Override
    public void suppressKicks() {
        if (kicksSuppressed && (!eventIdx || availIdx - suppressedAtIdx < 0x4000)) {
            return; // The driver reads that line with each chain it adds: it is not written without need.
        }
        kicksSuppressed = true;
        suppressedAtIdx = availIdx;
        // Half the index space away: no kick until the driver has added that much.
        writeKickWish(availIdx + 0x8000, VIRTQ_USED_F_NO_NOTIFY);
    }

    /** Writes avail_event with EVENT_IDX, the flags without it. */
    private void writeKickWish(int availEvent, int flags) {
        long offset = eventIdx ? VirtqueueLayout.availEventOffset(size) : USED_FLAGS;
        HostMemory.putU16(used + offset, eventIdx ? availEvent : flags);
        if (isLogging()) {
            logUsed(used, offset, Short.BYTES);
        }
    }

    @Override
    public boolean requestKicks() {
        kicksSuppressed = false;
        writeKickWish(availIdx, 0);
        // [C] Full fence: our wish is visible before our last look; pairs with the driver's fence between writing its
        // index and reading avail_event (or flags). One of the two sees the other.
        VarHandle.fullFence();
        return hasAvailable();
    }
}

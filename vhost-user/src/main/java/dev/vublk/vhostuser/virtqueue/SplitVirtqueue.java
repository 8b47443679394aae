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

/**
 * The device side of a split virtqueue (virtio 1.2 section 2.7): takes chains, returns used elements, decides on
 * notifications. Runs on its IOThread.
 *
 * <p>The ring is written by the guest at the same time. Every field of it is read once into a local, checked, and the
 * local is used. Whatever the guest writes there can only break this queue: {@link #pop} then returns {@link #BROKEN},
 * now and for ever. Memory that the guest took away raises {@link InternalError}; the caller breaks the queue then too.
 */
public final class SplitVirtqueue {
    /** {@link #pop} filled the chain. */
    public static final int POPPED = 0;
    /** {@link #pop} found nothing. */
    public static final int EMPTY = 1;
    /** The ring holds something that no driver may write; the queue takes and returns nothing any more. */
    public static final int BROKEN = 2;

    /** Windows drivers build chains longer than the ring; at least this many descriptors are always accepted. */
    private static final int CHAIN_LENGTH_MIN = 1024;

    /** The total length of a chain is at most 2^32 bytes (section 2.7.5.2). */
    private static final long CHAIN_BYTES_MAX = 1L << 32;

    private final int size;
    private final int mask;
    private final long desc;
    private final long avail;
    private final long used;
    private final boolean eventIdx;
    private final boolean indirect;
    private final int chainLengthMax;

    private GuestMemory memory;

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

    private boolean broken;
    private String brokenReason = "";

    public SplitVirtqueue(VirtqueueSetup setup) {
        size = setup.size();
        mask = size - 1;
        desc = setup.descHostAddress();
        avail = setup.availHostAddress();
        used = setup.usedHostAddress();
        memory = setup.memory();
        eventIdx = (setup.features() & VirtioFeature.VIRTIO_F_EVENT_IDX) != 0;
        indirect = (setup.features() & VirtioFeature.VIRTIO_F_INDIRECT_DESC) != 0;
        chainLengthMax = chainLengthMax(size);
        availIdx = setup.availBase();
        availSeen = availIdx;
        usedIdx = HostMemory.getU16(used + USED_IDX);
        usedPublished = usedIdx;
        usedSignalled = usedIdx;
    }

    /** The longest chain that a queue of {@code size} accepts, in descriptors. */
    public static int chainLengthMax(int size) {
        return Math.max(size, CHAIN_LENGTH_MIN);
    }

    public int size() {
        return size;
    }

    /** The next available index, 16 bits: what GET_VRING_BASE answers when nothing is in flight. */
    public int availBase() {
        return availIdx & 0xffff;
    }

    public boolean isBroken() {
        return broken;
    }

    /** What broke the queue, for one line in the log. */
    public String brokenReason() {
        return brokenReason;
    }

    /** Breaks the queue from outside, for example when its memory is gone. */
    public void markBroken(String reason) {
        if (!broken) {
            broken = true;
            brokenReason = reason;
        }
    }

    private int brokenBy(String reason) {
        markBroken(reason);
        return BROKEN;
    }

    /** Lets translation use a snapshot that holds all regions of the present one. */
    public void extendMemory(GuestMemory newMemory) {
        memory = newMemory;
    }

    /** Whether the driver has made something available that was not taken yet. */
    public boolean hasAvailable() {
        return !broken && (availIdx != availSeen || HostMemory.getU16(avail + AVAIL_IDX) != (availIdx & 0xffff));
    }

    /** Takes the next chain. Returns {@link #POPPED}, {@link #EMPTY} or {@link #BROKEN}. */
    public int pop(DescriptorChain chain) {
        if (broken) {
            return BROKEN;
        }
        if (availIdx == availSeen) {
            // [A] Acquire: the entries and descriptors that the driver wrote before its index are read after it.
            int pending = (HostMemory.getU16Acquire(avail + AVAIL_IDX) - availIdx) & 0xffff;
            if (pending == 0) {
                return EMPTY;
            }
            if (pending > size) {
                return brokenBy("available index is ahead by more than the queue size");
            }
            availSeen = availIdx + pending;
        }
        int head = HostMemory.getU16(avail + AVAIL_RING + 2L * (availIdx & mask));
        if (head >= size) {
            return brokenBy("head index beyond the descriptor table");
        }
        availIdx++;
        chain.clear(head);
        return walk(chain, desc, head, size);
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
                table = memory.translate(guestAddress, length);
                if (table == GuestMemory.UNMAPPED) {
                    return brokenBy("indirect table outside guest memory");
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
                return POPPED;
            }
            index = (int) (rest >>> 48);
            if (index >= tableSize) {
                return brokenBy("next index beyond the descriptor table");
            }
        }
        return brokenBy("chain that loops or is too long");
    }

    private boolean addBuffer(DescriptorChain chain, long guestAddress, long length, boolean writable) {
        long host = memory.translate(guestAddress, length);
        if (host != GuestMemory.UNMAPPED) {
            if (length == 0 || chain.add(host, length, writable)) {
                return true;
            }
            brokenBy("chain with too many buffers");
            return false;
        }
        return addBufferAcrossRegions(chain, guestAddress, length, writable);
    }

    /** A buffer may lie in several regions that adjoin for the guest but not here: then it becomes several. */
    private boolean addBufferAcrossRegions(DescriptorChain chain, long guestAddress, long length, boolean writable) {
        long at = guestAddress;
        long left = length;
        while (left > 0) {
            long piece = Math.min(left, memory.contiguousBytes(at));
            if (piece == 0) {
                brokenBy("buffer outside guest memory");
                return false;
            }
            if (!chain.add(memory.translate(at, piece), piece, writable)) {
                brokenBy("chain with too many buffers");
                return false;
            }
            at += piece;
            left -= piece;
        }
        return true;
    }

    /**
     * Returns a chain to the driver, to be seen with the next {@link #publishUsed}.
     *
     * @param writtenBytes exactly how much of the writable part was written, from its start
     */
    public void pushUsed(int headIndex, int writtenBytes) {
        long element = used + USED_RING + (long) USED_ELEM_BYTES * (usedIdx & mask);
        // One store for id and length: elements are 4-byte aligned, so it is an unaligned long.
        HostMemory.putLong(element, (headIndex & 0xffffffffL) | (long) writtenBytes << 32);
        usedIdx++;
    }

    /** Whether used elements wait for {@link #publishUsed}. */
    public boolean hasUnpublished() {
        return usedIdx != usedPublished;
    }

    /**
     * Shows the driver all used elements, once a pass.
     *
     * @return whether the driver wants to be notified of them
     */
    public boolean publishUsed() {
        if (usedIdx == usedPublished) {
            return false;
        }
        // Release: the elements and the data are visible before the index.
        HostMemory.putU16Release(used + USED_IDX, usedIdx);
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

    /** Asks the driver not to kick: the ring is being looked at anyway. Cheap when it was asked before. */
    public void suppressKicks() {
        if (kicksSuppressed && (!eventIdx || availIdx - suppressedAtIdx < 0x4000)) {
            return; // The driver reads that line with each chain it adds: it is not written without need.
        }
        kicksSuppressed = true;
        suppressedAtIdx = availIdx;
        if (eventIdx) {
            // Half the index space away: no kick until the driver has added that much.
            HostMemory.putU16(used + VirtqueueLayout.availEventOffset(size), availIdx + 0x8000);
        } else {
            HostMemory.putU16(used + USED_FLAGS, VIRTQ_USED_F_NO_NOTIFY);
        }
    }

    /**
     * Asks the driver to kick for the next chain.
     *
     * @return whether something came in just before: the caller must look again rather than wait for a kick
     */
    public boolean requestKicks() {
        kicksSuppressed = false;
        if (eventIdx) {
            HostMemory.putU16(used + VirtqueueLayout.availEventOffset(size), availIdx);
        } else {
            HostMemory.putU16(used + USED_FLAGS, 0);
        }
        // [C] Full fence: our wish is visible before our last look; pairs with the driver's fence between writing its
        // index and reading avail_event (or flags). One of the two sees the other.
        VarHandle.fullFence();
        return hasAvailable();
    }
}

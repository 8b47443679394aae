// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.frontend;

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
import static dev.vublk.vhostuser.virtqueue.VirtqueueLayout.VIRTQ_DESC_F_INDIRECT;
import static dev.vublk.vhostuser.virtqueue.VirtqueueLayout.VIRTQ_DESC_F_NEXT;
import static dev.vublk.vhostuser.virtqueue.VirtqueueLayout.VIRTQ_DESC_F_WRITE;
import static dev.vublk.vhostuser.virtqueue.VirtqueueLayout.VIRTQ_USED_F_NO_NOTIFY;

import dev.vublk.vhostuser.memory.HostMemory;
import dev.vublk.vhostuser.virtqueue.VirtqueueLayout;
import java.lang.invoke.VarHandle;

/**
 * The driver's side of a split virtqueue in memory that the caller provides. One thread.
 *
 * <p>A well-behaved driver uses {@link #add} or {@link #addPrepared}, {@link #publish}, {@link #shouldKick} and {@link #pollUsed}. The methods
 * named {@code raw…} write what no driver may write, for tests of the device.
 */
public final class DriverVirtqueue {
    /** {@link #add} found too few free descriptors. */
    public static final int NO_HEAD = -1;

    /** What {@link #prepared} says of a head: an ordinary chain or none, a prepared one that is the driver's, or the device's. */
    private static final byte NOT_PREPARED = 0;

    private static final byte PREPARED = 1;
    private static final byte PREPARED_IN_FLIGHT = 2;

    private final int size;
    private final int mask;
    private final boolean eventIdx;
    private final long desc;
    private final long avail;
    private final long used;

    private final int[] nextFree;
    private final int[] chainLength;
    private final byte[] prepared;
    private int firstFree;
    private int freeCount;

    private int availIdx;
    private int availPublished;
    private int availKicked;
    private int usedIdx;
    private int usedId;
    private int usedBytes;

    /**
     * Lays a ring out at {@code hostAddress} (16-byte aligned, {@link #bytes} long) and clears it.
     */
    public DriverVirtqueue(long hostAddress, int size, boolean eventIdx) {
        this.size = size;
        this.mask = size - 1;
        this.eventIdx = eventIdx;
        desc = hostAddress;
        avail = desc + availOffset(size);
        used = desc + usedOffset(size);
        nextFree = new int[size];
        chainLength = new int[size];
        prepared = new byte[size];
        reset();
    }

    /** Bytes that a ring needs. */
    public static long bytes(int size) {
        return usedOffset(size) + VirtqueueLayout.usedBytes(size);
    }

    /** Where the driver area begins, from the ring's start. */
    public static long availOffset(int size) {
        return VirtqueueLayout.descBytes(size);
    }

    /** Where the device area begins, from the ring's start; on a cache line of its own. */
    public static long usedOffset(int size) {
        return (availOffset(size) + VirtqueueLayout.availBytes(size) + 63) & -64;
    }

    /** Forgets everything and clears the ring, as a driver does when it sets a queue up. */
    public void reset() {
        HostMemory.fill(desc, bytes(size), (byte) 0);
        for (int i = 0; i < size; i++) {
            nextFree[i] = i + 1;
            chainLength[i] = 0;
            prepared[i] = NOT_PREPARED;
        }
        firstFree = 0;
        freeCount = size;
        availIdx = 0;
        availPublished = 0;
        availKicked = 0;
        usedIdx = 0;
    }

    /** Goes on with a ring that is in use already, with all its chains free: both indexes as the ring has them. */
    public void adopt() {
        availIdx = HostMemory.getU16(avail + AVAIL_IDX);
        availPublished = availIdx;
        availKicked = availIdx;
        usedIdx = HostMemory.getU16(used + USED_IDX);
    }

    public int size() {
        return size;
    }

    public int freeCount() {
        return freeCount;
    }

    /**
     * Adds a chain, not yet visible to the device: the first {@code readable} buffers are read by the device, the other
     * {@code writable} written.
     *
     * @return the head index, or {@link #NO_HEAD} when too few descriptors are free
     */
    public int add(long[] guestAddresses, int[] lengths, int readable, int writable) {
        int head = link(guestAddresses, lengths, readable, writable);
        return head == NO_HEAD ? NO_HEAD : takeHead(head, readable + writable);
    }

    /** As {@link #add}, with one descriptor that points to a table of {@code entries} the caller has written. */
    public int addIndirect(long tableGuestAddress, int entries) {
        int head = linkIndirect(tableGuestAddress, entries);
        return head == NO_HEAD ? NO_HEAD : takeHead(head, 1);
    }

    /**
     * Writes a chain that is used again and again: its descriptors stay taken, and {@link #addPrepared} adds it each time
     * without writing them. The parameters are those of {@link #add}.
     */
    public int prepare(long[] guestAddresses, int[] lengths, int readable, int writable) {
        int head = link(guestAddresses, lengths, readable, writable);
        return head == NO_HEAD ? NO_HEAD : keepHead(head, readable + writable);
    }

    /** As {@link #prepare}, with an indirect table as in {@link #addIndirect}. */
    public int prepareIndirect(long tableGuestAddress, int entries) {
        int head = linkIndirect(tableGuestAddress, entries);
        return head == NO_HEAD ? NO_HEAD : keepHead(head, 1);
    }

    /** Adds a prepared chain, not yet visible to the device. It must not be in flight. */
    public void addPrepared(int head) {
        if (prepared[head] != PREPARED) {
            throw new IllegalStateException("chain " + head + " is in flight, or was never prepared");
        }
        prepared[head] = PREPARED_IN_FLIGHT;
        rawAvailable(head);
    }

    private int link(long[] guestAddresses, int[] lengths, int readable, int writable) {
        int count = readable + writable;
        if (count > freeCount) {
            return NO_HEAD;
        }
        int head = firstFree;
        int index = head;
        for (int i = 0; i < count; i++) {
            int next = nextFree[index];
            int flags = (i >= readable ? VIRTQ_DESC_F_WRITE : 0) | (i + 1 < count ? VIRTQ_DESC_F_NEXT : 0);
            rawDescriptor(index, guestAddresses[i], lengths[i], flags, next);
            index = next;
        }
        firstFree = index;
        return head;
    }

    private int linkIndirect(long tableGuestAddress, int entries) {
        if (freeCount == 0) {
            return NO_HEAD;
        }
        int head = firstFree;
        firstFree = nextFree[head];
        rawDescriptor(head, tableGuestAddress, entries * DESC_BYTES, VIRTQ_DESC_F_INDIRECT, 0);
        return head;
    }

    private int takeHead(int head, int count) {
        freeCount -= count;
        chainLength[head] = count;
        rawAvailable(head);
        return head;
    }

    private int keepHead(int head, int count) {
        freeCount -= count;
        prepared[head] = PREPARED;
        return head;
    }

    /** Shows the device everything added. */
    public void publish() {
        HostMemory.putU16Release(avail + AVAIL_IDX, availIdx);
        availPublished = availIdx;
    }

    /** Whether the device wants a kick for what was published since the last time this was asked. */
    public boolean shouldKick() {
        VarHandle.fullFence(); // Pairs with [C] in SplitVirtqueue.requestKicks.
        int added = (availPublished - availKicked) & 0xffff;
        availKicked = availPublished;
        if (added == 0) {
            return false;
        }
        if (!eventIdx) {
            return (HostMemory.getU16(used + USED_FLAGS) & VIRTQ_USED_F_NO_NOTIFY) == 0;
        }
        int availEvent = HostMemory.getU16(used + VirtqueueLayout.availEventOffset(size));
        return ((availPublished - availEvent - 1) & 0xffff) < added;
    }

    /** Takes the next used element, if any: {@link #usedId} and {@link #usedBytes} then tell about it. */
    public boolean pollUsed() {
        if (countUsed() == 0) {
            return false;
        }
        takeUsed();
        return true;
    }

    /** How many used elements wait, with one look at the device's index. */
    public int countUsed() {
        return (HostMemory.getU16Acquire(used + USED_IDX) - usedIdx) & 0xffff;
    }

    /** Takes the next used element, of which {@link #countUsed} has told. */
    public void takeUsed() {
        long element = HostMemory.getLong(used + USED_RING + (long) USED_ELEM_BYTES * (usedIdx & mask));
        usedIdx++;
        usedId = (int) element;
        usedBytes = (int) (element >>> 32);
        if (usedId >= 0 && usedId < size && prepared[usedId] == PREPARED_IN_FLIGHT) {
            prepared[usedId] = PREPARED;
        } else {
            free(usedId);
        }
    }

    private void free(int head) {
        if (head < 0 || head >= size || chainLength[head] == 0) {
            throw new IllegalStateException("the device returned chain " + head + ", which is not in flight");
        }
        int last = head;
        for (int i = 1; i < chainLength[head]; i++) {
            last = nextFree[last];
        }
        nextFree[last] = firstFree;
        firstFree = head;
        freeCount += chainLength[head];
        chainLength[head] = 0;
    }

    public int usedId() {
        return usedId;
    }

    public int usedBytes() {
        return usedBytes;
    }

    /** The device's used index as the ring has it. */
    public int rawUsedIdx() {
        return HostMemory.getU16(used + USED_IDX);
    }

    /**
     * Asks for an interrupt on the next used element.
     *
     * @return whether one came in just before: look again rather than wait
     */
    public boolean requestInterrupt() {
        if (eventIdx) {
            HostMemory.putU16(avail + VirtqueueLayout.usedEventOffset(size), usedIdx);
        } else {
            HostMemory.putU16(avail + AVAIL_FLAGS, 0);
        }
        VarHandle.fullFence(); // Pairs with [B] in SplitVirtqueue.publishUsed.
        return HostMemory.getU16Acquire(used + USED_IDX) != (usedIdx & 0xffff);
    }

    /** Asks for no interrupts: the driver polls. */
    public void suppressInterrupts() {
        if (eventIdx) {
            // Half the index space away, where the device will not be for long.
            HostMemory.putU16(avail + VirtqueueLayout.usedEventOffset(size), usedIdx + 0x8000);
        } else {
            HostMemory.putU16(avail + AVAIL_FLAGS, VirtqueueLayout.VIRTQ_AVAIL_F_NO_INTERRUPT);
        }
    }

    /** Writes any descriptor. */
    public void rawDescriptor(int index, long guestAddress, int length, int flags, int next) {
        rawDescriptorAt(desc + (long) DESC_BYTES * index, guestAddress, length, flags, next);
    }

    /** Writes a descriptor anywhere, for indirect tables. */
    public static void rawDescriptorAt(long hostAddress, long guestAddress, int length, int flags, int next) {
        HostMemory.putLong(hostAddress + DESC_ADDR, guestAddress);
        HostMemory.putLong(
                hostAddress + DESC_LEN_FLAGS_NEXT, (length & 0xffffffffL) | (long) flags << 32 | (long) next << 48);
    }

    /** Puts any head into the available ring; {@link #publish} shows it. */
    public void rawAvailable(int head) {
        HostMemory.putU16(avail + AVAIL_RING + 2L * (availIdx & mask), head);
        availIdx++;
    }

    /** Writes any available index. */
    public void rawAvailIdx(int idx) {
        HostMemory.putU16Release(avail + AVAIL_IDX, idx);
    }
}

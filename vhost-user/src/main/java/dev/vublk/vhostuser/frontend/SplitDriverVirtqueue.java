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

/** The driver's side of a split virtqueue (virtio 1.2 section 2.7). One thread. */
public final class SplitDriverVirtqueue extends DriverVirtqueue {
    private final int mask;
    private final long desc;
    private final long avail;
    private final long used;

    private final int[] nextFree;
    private final int[] chainLength;
    private int firstFree;

    private int availIdx;
    private int availPublished;
    private int availKicked;
    private int usedIdx;

    /** Lays a ring out at {@code hostAddress} (16-byte aligned, {@link #ringBytes} long) and clears it. */
    public SplitDriverVirtqueue(long hostAddress, int size, boolean eventIdx) {
        super(size, eventIdx);
        mask = size - 1;
        desc = hostAddress;
        avail = desc + availOffset(size);
        used = desc + usedOffset(size);
        nextFree = new int[size];
        chainLength = new int[size];
        reset();
    }

    /** Bytes that a ring needs. */
    public static long ringBytes(int size) {
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

    @Override
    public void reset() {
        HostMemory.fill(desc, ringBytes(size), (byte) 0);
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

    @Override
    public long descAddress() {
        return desc;
    }

    @Override
    public long availAddress() {
        return avail;
    }

    @Override
    public long usedAddress() {
        return used;
    }

    @Override
    public int base() {
        return usedIdx & 0xffff;
    }

    @Override
    public int add(long[] guestAddresses, int[] lengths, int readable, int writable) {
        int head = link(guestAddresses, lengths, readable, writable);
        return head == NO_HEAD ? NO_HEAD : takeHead(head, readable + writable);
    }

    @Override
    public int addIndirect(long tableGuestAddress, int entries) {
        int head = linkIndirect(tableGuestAddress, entries);
        return head == NO_HEAD ? NO_HEAD : takeHead(head, 1);
    }

    @Override
    public void putTableEntry(
            long tableHostAddress, int entries, int index, long guestAddress, int length, boolean writable) {
        boolean last = index == entries - 1;
        rawDescriptorAt(
                tableHostAddress + (long) DESC_BYTES * index,
                guestAddress,
                length,
                (writable ? VIRTQ_DESC_F_WRITE : 0) | (last ? 0 : VIRTQ_DESC_F_NEXT),
                last ? 0 : index + 1);
    }

    /** The descriptors are written once and stay in the table. */
    @Override
    public int prepare(long[] guestAddresses, int[] lengths, int readable, int writable) {
        int head = link(guestAddresses, lengths, readable, writable);
        return head == NO_HEAD ? NO_HEAD : keepHead(head, readable + writable);
    }

    @Override
    public int prepareIndirect(long tableGuestAddress, int entries) {
        int head = linkIndirect(tableGuestAddress, entries);
        return head == NO_HEAD ? NO_HEAD : keepHead(head, 1);
    }

    @Override
    void makeAvailable(int head) {
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

    @Override
    public void publish() {
        HostMemory.putU16Release(avail + AVAIL_IDX, availIdx);
        availPublished = availIdx;
    }

    @Override
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

    @Override
    public boolean pollUsed() {
        if (countUsed() == 0) {
            return false;
        }
        takeUsed();
        return true;
    }

    /** One look at the device's index. */
    @Override
    public int countUsed() {
        return (HostMemory.getU16Acquire(used + USED_IDX) - usedIdx) & 0xffff;
    }

    @Override
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

    /** The device's used index. */
    @Override
    public int returnedCount() {
        return HostMemory.getU16(used + USED_IDX);
    }

    @Override
    public int returnedBase() {
        return returnedCount();
    }

    @Override
    public boolean requestInterrupt() {
        if (eventIdx) {
            HostMemory.putU16(avail + VirtqueueLayout.usedEventOffset(size), usedIdx);
        } else {
            HostMemory.putU16(avail + AVAIL_FLAGS, 0);
        }
        VarHandle.fullFence(); // Pairs with [B] in SplitVirtqueue.publishUsed.
        return HostMemory.getU16Acquire(used + USED_IDX) != (usedIdx & 0xffff);
    }

    @Override
    public void suppressInterrupts() {
        if (eventIdx) {
            // Half the index space away, where the device will not be for long.
            HostMemory.putU16(avail + VirtqueueLayout.usedEventOffset(size), usedIdx + 0x8000);
        } else {
            HostMemory.putU16(avail + AVAIL_FLAGS, VirtqueueLayout.VIRTQ_AVAIL_F_NO_INTERRUPT);
        }
    }

    /** With EVENT_IDX the device has passed the element of the wish: it has forgotten it already. */
    @Override
    public void endInterrupt() {
        if (!eventIdx) {
            suppressInterrupts();
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

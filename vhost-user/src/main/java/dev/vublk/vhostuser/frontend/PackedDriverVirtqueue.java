// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.frontend;

import static dev.vublk.vhostuser.virtqueue.PackedVirtqueueLayout.DESC_ADDR;
import static dev.vublk.vhostuser.virtqueue.PackedVirtqueueLayout.DESC_BYTES;
import static dev.vublk.vhostuser.virtqueue.PackedVirtqueueLayout.DESC_LEN_ID_FLAGS;
import static dev.vublk.vhostuser.virtqueue.PackedVirtqueueLayout.EVENT_BYTES;
import static dev.vublk.vhostuser.virtqueue.PackedVirtqueueLayout.EVENT_FLAGS_MASK;
import static dev.vublk.vhostuser.virtqueue.PackedVirtqueueLayout.EVENT_FLAGS_SHIFT;
import static dev.vublk.vhostuser.virtqueue.PackedVirtqueueLayout.FLAGS_SHIFT;
import static dev.vublk.vhostuser.virtqueue.PackedVirtqueueLayout.POSITION_MASK;
import static dev.vublk.vhostuser.virtqueue.PackedVirtqueueLayout.RING_EVENT_FLAGS_DESC;
import static dev.vublk.vhostuser.virtqueue.PackedVirtqueueLayout.RING_EVENT_FLAGS_DISABLE;
import static dev.vublk.vhostuser.virtqueue.PackedVirtqueueLayout.RING_EVENT_FLAGS_ENABLE;
import static dev.vublk.vhostuser.virtqueue.PackedVirtqueueLayout.VIRTQ_DESC_F_AVAIL;
import static dev.vublk.vhostuser.virtqueue.PackedVirtqueueLayout.VIRTQ_DESC_F_USED;
import static dev.vublk.vhostuser.virtqueue.PackedVirtqueueLayout.WRAP_SHIFT;
import static dev.vublk.vhostuser.virtqueue.VirtqueueLayout.VIRTQ_DESC_F_INDIRECT;
import static dev.vublk.vhostuser.virtqueue.VirtqueueLayout.VIRTQ_DESC_F_NEXT;
import static dev.vublk.vhostuser.virtqueue.VirtqueueLayout.VIRTQ_DESC_F_WRITE;

import dev.vublk.vhostuser.memory.HostMemory;
import dev.vublk.vhostuser.virtqueue.PackedRingBase;
import dev.vublk.vhostuser.virtqueue.PackedVirtqueueLayout;
import java.lang.invoke.VarHandle;

/**
 * The driver's side of a packed virtqueue (virtio 1.2 section 2.8). One thread.
 *
 * <p>What is added is in the ring at once, but for the half with the flags of the first descriptor: until that is published the
 * device, which looks at one descriptor after the other, sees nothing of it.
 */
public final class PackedDriverVirtqueue extends DriverVirtqueue {
    private static final long MARKS = (long) (VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED) << FLAGS_SHIFT;
    private static final long AVAIL_MARK = (long) VIRTQ_DESC_F_AVAIL << FLAGS_SHIFT;

    private final long ring;
    private final long driverEvent;
    private final long deviceEvent;

    /** Buffer ids that are not in use, a stack. */
    private final int[] freeIds;

    private int freeIdCount;
    /** Descriptors of the chain with that buffer id, 0 without one. */
    private final int[] chainSlots;
    /** Addresses and second halves of a prepared chain's descriptors, which are written anew each time. */
    private final long[][] preparedDescriptors;

    private int availPosition;
    private long availMarks;
    /** Descriptors written since the last {@link #publish}; the first of them is held back. */
    private int slotsAdded;

    private long firstAddedAddress;
    private long firstAdded;

    private int publishedPosition;
    private long publishedMarks;
    /** Descriptors published since the last {@link #shouldKick}. */
    private int slotsUnkicked;

    private int usedPosition;
    private long usedMarks;
    private int takenCount;

    /** Where {@link #walkUsed} ended. */
    private int walkPosition;

    private long walkMarks;

    /** Lays a ring out at {@code hostAddress} (16-byte aligned, {@link #ringBytes} long) and clears it. */
    public PackedDriverVirtqueue(long hostAddress, int size, boolean eventIdx) {
        super(size, eventIdx);
        ring = hostAddress;
        driverEvent = ring + PackedVirtqueueLayout.descBytes(size);
        deviceEvent = ring + deviceEventOffset(size);
        freeIds = new int[size];
        chainSlots = new int[size];
        preparedDescriptors = new long[size][];
        reset();
    }

    /** Bytes that a ring needs. */
    static long ringBytes(int size) {
        return deviceEventOffset(size) + EVENT_BYTES;
    }

    /** Where the device area begins, from the ring's start; on a cache line of its own. */
    private static long deviceEventOffset(int size) {
        return (PackedVirtqueueLayout.descBytes(size) + EVENT_BYTES + 63) & -64;
    }

    @Override
    public void reset() {
        HostMemory.fill(ring, ringBytes(size), (byte) 0);
        for (int i = 0; i < size; i++) {
            freeIds[i] = size - 1 - i;
            chainSlots[i] = 0;
            prepared[i] = NOT_PREPARED;
        }
        freeIdCount = size;
        freeCount = size;
        availPosition = 0;
        availMarks = AVAIL_MARK;
        slotsAdded = 0;
        publishedPosition = 0;
        publishedMarks = AVAIL_MARK;
        slotsUnkicked = 0;
        usedPosition = 0;
        usedMarks = MARKS;
        takenCount = 0;
    }

    @Override
    public long descAddress() {
        return ring;
    }

    @Override
    public long availAddress() {
        return driverEvent;
    }

    @Override
    public long usedAddress() {
        return deviceEvent;
    }

    @Override
    public int base() {
        boolean wrap = usedMarks != 0;
        return new PackedRingBase(usedPosition, wrap, usedPosition, wrap).encode();
    }

    // ---- chains

    @Override
    public int add(long[] guestAddresses, int[] lengths, int readable, int writable) {
        int count = readable + writable;
        if (count > freeCount) {
            return NO_HEAD;
        }
        int id = takeId(count);
        for (int i = 0; i < count; i++) {
            put(guestAddresses[i], half(lengths[i], id, flags(i, readable, count)));
        }
        return id;
    }

    @Override
    public int addIndirect(long tableGuestAddress, int entries) {
        if (freeCount == 0) {
            return NO_HEAD;
        }
        int id = takeId(1);
        put(tableGuestAddress, half(entries * DESC_BYTES, id, VIRTQ_DESC_F_INDIRECT));
        return id;
    }

    /** Section 2.8.7: the entries of a table follow one another; WRITE is their only flag. */
    @Override
    public void putTableEntry(
            long tableHostAddress, int entries, int index, long guestAddress, int length, boolean writable) {
        rawDescriptorAt(
                tableHostAddress + (long) DESC_BYTES * index,
                guestAddress,
                length,
                0,
                writable ? VIRTQ_DESC_F_WRITE : 0);
    }

    @Override
    public int prepare(long[] guestAddresses, int[] lengths, int readable, int writable) {
        int count = readable + writable;
        if (count > freeCount) {
            return NO_HEAD;
        }
        int id = takeId(count);
        long[] descriptors = new long[2 * count];
        for (int i = 0; i < count; i++) {
            descriptors[2 * i] = guestAddresses[i];
            descriptors[2 * i + 1] = half(lengths[i], id, flags(i, readable, count));
        }
        return keep(id, descriptors);
    }

    @Override
    public int prepareIndirect(long tableGuestAddress, int entries) {
        if (freeCount == 0) {
            return NO_HEAD;
        }
        int id = takeId(1);
        return keep(id, new long[] {tableGuestAddress, half(entries * DESC_BYTES, id, VIRTQ_DESC_F_INDIRECT)});
    }

    private int keep(int id, long... descriptors) {
        preparedDescriptors[id] = descriptors;
        prepared[id] = PREPARED;
        return id;
    }

    @Override
    void makeAvailable(int id) {
        long[] descriptors = preparedDescriptors[id];
        for (int i = 0; i < descriptors.length; i += 2) {
            put(descriptors[i], descriptors[i + 1]);
        }
    }

    private static int flags(int index, int readable, int count) {
        return (index >= readable ? VIRTQ_DESC_F_WRITE : 0) | (index + 1 < count ? VIRTQ_DESC_F_NEXT : 0);
    }

    private static long half(int length, int id, int flags) {
        return (length & 0xffffffffL) | (long) id << 32 | (long) flags << FLAGS_SHIFT;
    }

    private int takeId(int slots) {
        int id = freeIds[--freeIdCount];
        chainSlots[id] = slots;
        freeCount -= slots;
        return id;
    }

    private void put(long guestAddress, long half) {
        long address = ring + (long) DESC_BYTES * availPosition;
        HostMemory.putLong(address + DESC_ADDR, guestAddress);
        if (slotsAdded == 0) {
            firstAddedAddress = address + DESC_LEN_ID_FLAGS;
            firstAdded = half | availMarks;
        } else {
            HostMemory.putLong(address + DESC_LEN_ID_FLAGS, half | availMarks);
        }
        slotsAdded++;
        if (++availPosition == size) {
            availPosition = 0;
            availMarks ^= MARKS;
        }
    }

    @Override
    public void publish() {
        if (slotsAdded > 0) {
            HostMemory.putLongRelease(firstAddedAddress, firstAdded); // Pairs with [D] in PackedVirtqueue.pop.
            slotsUnkicked += slotsAdded;
            slotsAdded = 0;
            publishedPosition = availPosition;
            publishedMarks = availMarks;
        }
    }

    @Override
    public boolean shouldKick() {
        VarHandle.fullFence(); // Pairs with [F] in PackedVirtqueue.requestKicks.
        int added = slotsUnkicked;
        slotsUnkicked = 0;
        if (added == 0) {
            return false;
        }
        int event = HostMemory.getInt(deviceEvent);
        int wish = event >>> EVENT_FLAGS_SHIFT & EVENT_FLAGS_MASK;
        if (wish != RING_EVENT_FLAGS_DESC) {
            return wish != RING_EVENT_FLAGS_DISABLE;
        }
        boolean sameLap = (event >>> WRAP_SHIFT & 1) != 0 == (publishedMarks == AVAIL_MARK);
        int slotsBack = publishedPosition - (event & POSITION_MASK) + (sameLap ? 0 : size);
        return slotsBack > 0 && slotsBack <= added;
    }

    // ---- used descriptors

    @Override
    public boolean pollUsed() {
        if (!isUsed(usedPosition, usedMarks)) {
            return false;
        }
        takeUsed();
        return true;
    }

    private boolean isUsed(int position, long marks) {
        return (HostMemory.getLongAcquire(ring + (long) DESC_BYTES * position + DESC_LEN_ID_FLAGS) & MARKS) == marks;
    }

    @Override
    public int countUsed() {
        return walkUsed();
    }

    /** Goes from one used descriptor to the next; returns how many there are. */
    private int walkUsed() {
        int count = 0;
        int slots = 0;
        walkPosition = usedPosition;
        walkMarks = usedMarks;
        while (slots < size && isUsed(walkPosition, walkMarks)) {
            count++;
            int skipped = slotsOf(bufferId(walkPosition));
            if (skipped == 0) {
                break; // Not in flight: takeUsed says so.
            }
            slots += skipped;
            walkPosition += skipped;
            if (walkPosition >= size) {
                walkPosition -= size;
                walkMarks ^= MARKS;
            }
        }
        return count;
    }

    @Override
    public int returnedBase() {
        walkUsed();
        boolean wrap = walkMarks != 0;
        return new PackedRingBase(walkPosition, wrap, walkPosition, wrap).encode();
    }

    private int bufferId(int position) {
        long half = HostMemory.getLong(ring + (long) DESC_BYTES * position + DESC_LEN_ID_FLAGS);
        return (int) (half >>> 32) & 0xffff;
    }

    private int slotsOf(int id) {
        return id < size && prepared[id] != PREPARED ? chainSlots[id] : 0;
    }

    @Override
    public void takeUsed() {
        long half = HostMemory.getLong(ring + (long) DESC_BYTES * usedPosition + DESC_LEN_ID_FLAGS);
        usedId = (int) (half >>> 32) & 0xffff;
        // Section 2.8.4: without WRITE the length means nothing.
        boolean written = (half >>> FLAGS_SHIFT & VIRTQ_DESC_F_WRITE) != 0;
        usedBytes = written ? (int) half : 0;
        int slots = slotsOf(usedId);
        if (slots == 0) {
            throw new IllegalStateException("the device returned chain " + usedId + ", which is not in flight");
        }
        takenCount++;
        usedPosition += slots;
        if (usedPosition >= size) {
            usedPosition -= size;
            usedMarks ^= MARKS;
        }
        if (prepared[usedId] == PREPARED_IN_FLIGHT) {
            prepared[usedId] = PREPARED;
        } else {
            chainSlots[usedId] = 0;
            freeCount += slots;
            freeIds[freeIdCount++] = usedId;
        }
    }

    @Override
    public int returnedCount() {
        return (takenCount + countUsed()) & 0xffff;
    }

    // ---- interrupts

    @Override
    public boolean requestInterrupt() {
        int wish = eventIdx
                ? usedPosition | (usedMarks != 0 ? 1 << WRAP_SHIFT : 0) | RING_EVENT_FLAGS_DESC << EVENT_FLAGS_SHIFT
                : RING_EVENT_FLAGS_ENABLE << EVENT_FLAGS_SHIFT;
        HostMemory.putInt(driverEvent, wish);
        VarHandle.fullFence(); // Pairs with [E] in PackedVirtqueue.publishUsed.
        return isUsed(usedPosition, usedMarks);
    }

    @Override
    public void suppressInterrupts() {
        HostMemory.putInt(driverEvent, RING_EVENT_FLAGS_DISABLE << EVENT_FLAGS_SHIFT);
    }

    /** Otherwise the same descriptor would ask for another one two laps later. */
    @Override
    public void endInterrupt() {
        suppressInterrupts();
    }

    // ---- what no driver may write

    /** Writes a descriptor anywhere, with all of its flags. */
    public static void rawDescriptorAt(long hostAddress, long guestAddress, int length, int id, int flags) {
        HostMemory.putLong(hostAddress + DESC_ADDR, guestAddress);
        HostMemory.putLong(hostAddress + DESC_LEN_ID_FLAGS, half(length, id, flags));
    }

    /** Puts any descriptor into the ring where the next one goes, as available; {@link #publish} shows it. */
    public void rawAdd(long guestAddress, int length, int id, int flags) {
        put(guestAddress, half(length, id, flags));
    }

    /** Writes what the driver asks of interrupts. */
    public void rawDriverEvent(int offWrap, int flags) {
        HostMemory.putInt(driverEvent, offWrap | flags << EVENT_FLAGS_SHIFT);
    }

    /** What the device asks of kicks, as it is in the ring. */
    public int rawDeviceEvent() {
        return HostMemory.getInt(deviceEvent);
    }
}

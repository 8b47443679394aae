// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.virtqueue;

import static dev.vublk.vhostuser.virtqueue.PackedVirtqueueLayout.DESC_ADDR;
import static dev.vublk.vhostuser.virtqueue.PackedVirtqueueLayout.DESC_BYTES;
import static dev.vublk.vhostuser.virtqueue.PackedVirtqueueLayout.DESC_LEN_ID_FLAGS;
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

import dev.vublk.vhostuser.memory.GuestMemory;
import dev.vublk.vhostuser.memory.HostMemory;
import java.lang.invoke.VarHandle;
import org.jspecify.annotations.Nullable;

/**
 * The device side of a packed virtqueue (virtio 1.2 section 2.8). Runs on its IOThread.
 *
 * <p>Driver and device go round one ring of descriptors. A chain takes as many of them, one behind the other, as it has
 * buffers; its used descriptor goes where the device stands, which then skips as many:
 *
 * <pre>
 *              usedPosition            availPosition
 *                   v                       v
 *   | ... used ... | slotsInFlight ........ | available, or free ... |
 * </pre>
 *
 * The device never passes the driver: what it overwrites it has read before.
 */
final class PackedVirtqueue extends Virtqueue {
    /** The two flags that tell whose a descriptor is, where they are in its second half. */
    static final long MARKS = (long) (VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED) << FLAGS_SHIFT;

    private final long ring;
    private final long driverEvent;
    private final long deviceEvent;
    private final boolean eventIdx;
    private final boolean indirect;

    private int availPosition;
    /** Marks of a descriptor that is available in the driver's present lap. */
    private long availMarks;

    private int usedPosition;
    /** Marks of a descriptor that is used in the device's present lap. */
    private long usedMarks;

    /** Descriptors between the two positions: taken and not given back. */
    private int slotsInFlight;

    /** Descriptors that the used ones in the ring cover, beginning with the one that is held back. */
    private int slotsUnpublished;
    /** The first used descriptor of this pass, held back: while the driver does not see it, it sees none behind it. */
    private long firstUsedAddress;

    private long firstUsed;

    /** Descriptors covered since the driver was last signalled, counted up to the size of the ring. */
    private int slotsSinceSignal;

    private boolean kicksSuppressed;

    private final @Nullable PackedInflight inflight;

    PackedVirtqueue(VirtqueueSetup setup) {
        super(setup);
        ring = setup.descHostAddress();
        driverEvent = setup.availHostAddress();
        deviceEvent = setup.usedHostAddress();
        eventIdx = (setup.features() & VirtioFeature.VIRTIO_F_EVENT_IDX) != 0;
        indirect = (setup.features() & VirtioFeature.VIRTIO_F_INDIRECT_DESC) != 0;
        PackedRingBase base = PackedRingBase.decode(setup.base());
        if (!base.fits(size)) {
            throw new IllegalArgumentException(base + " in a ring of " + size);
        }
        InflightBlock block = setup.inflight();
        inflight = block == null ? null : recover(block, base);
        PackedRingBase start = inflight == null ? base : inflight.recovered().base(base);
        availPosition = start.availPosition();
        availMarks = availMarks(start.availWrap());
        usedPosition = start.usedPosition();
        usedMarks = start.usedWrap() ? MARKS : 0;
        slotsInFlight = start.slotsBehind(size);
        if (block != null && !isBroken()) {
            hideUnpublished(block.faults());
        }
        logPredecessor();
    }

    private PackedInflight recover(InflightBlock block, PackedRingBase told) {
        PackedRecovery recovery = new PackedRecovery(block, size);
        String damage = recovery.recover(told, ring);
        if (!damage.isEmpty()) {
            markBroken(damage);
        }
        return new PackedInflight(block, recovery);
    }

    /**
     * A predecessor may have died with used descriptors in the ring that the driver did not see, because the first of them was
     * held back. Their chains are run again: until then the driver must not take those for used.
     */
    private void hideUnpublished(InflightFaults faults) {
        int position = usedPosition;
        long marks = usedMarks;
        for (int slot = 0; slot < slotsInFlight; slot++) {
            long address = address(position) + DESC_LEN_ID_FLAGS;
            long half = HostMemory.getLong(address);
            if ((half & MARKS) == marks) {
                HostMemory.putLong(address, (half & ~MARKS) | availMarks(marks != 0));
                logRing(address, Long.BYTES);
                faults.reached(InflightPoint.RECOVERY_SLOT_CLEANED);
            }
            if (++position == size) {
                position = 0;
                marks ^= MARKS;
            }
        }
    }

    /** Marks of a descriptor that is available in a lap with that wrap counter. */
    static long availMarks(boolean wrap) {
        return (long) (wrap ? VIRTQ_DESC_F_AVAIL : VIRTQ_DESC_F_USED) << FLAGS_SHIFT;
    }

    @Override
    public int base() {
        return new PackedRingBase(availPosition, availWrap(), usedPosition, usedWrap()).encode();
    }

    private boolean availWrap() {
        return availMarks == availMarks(true);
    }

    private boolean usedWrap() {
        return usedMarks != 0;
    }

    private long address(int position) {
        return ring + (long) DESC_BYTES * position;
    }

    @Override
    public boolean hasRecovered() {
        return inflight != null && inflight.hasRecovered() && !isBroken();
    }

    @Override
    public boolean hasAvailable() {
        return !isBroken()
                && ((HostMemory.getLongAcquire(address(availPosition) + DESC_LEN_ID_FLAGS) & MARKS) == availMarks
                        || hasRecovered());
    }

    @Override
    public int pop(DescriptorChain chain) {
        if (isBroken()) {
            return BROKEN;
        }
        if (inflight != null && inflight.hasRecovered()) {
            return popRecovered(chain, inflight);
        }
        // [D] Acquire: the driver has written the whole chain before the flags of its first descriptor.
        long first = HostMemory.getLongAcquire(address(availPosition) + DESC_LEN_ID_FLAGS);
        if ((first & MARKS) != availMarks) {
            return EMPTY;
        }
        if (slotsInFlight == size) {
            return brokenBy("more descriptors available than the ring has");
        }
        if (iotlb != null) {
            iotlb.begin(chain);
        }
        chain.clear(bufferId(first));
        if (inflight != null) {
            inflight.begin();
        }
        return (flags(first) & VIRTQ_DESC_F_INDIRECT) != 0 ? walkPointer(chain, first) : walk(chain, first);
    }

    /**
     * Gives a predecessor's chain out again, by the copies of its descriptors: the ring may have others there by now. Its slots
     * count as in flight already.
     */
    private int popRecovered(DescriptorChain chain, PackedInflight from) {
        PackedRecovery recovered = from.recovered();
        int number = from.nextRecovered();
        long[] descriptors = recovered.descriptors(number);
        if (iotlb != null) {
            iotlb.begin(chain);
        }
        chain.clear(bufferId(descriptors[descriptors.length - 1]));
        chain.ringSlots = descriptors.length / 2;
        chain.inflightEntry = recovered.entry(number);
        int result = walkRecovered(chain, descriptors);
        if (result == POPPED) {
            from.takeRecovered();
        }
        return result;
    }

    private int walkRecovered(DescriptorChain chain, long... descriptors) {
        if ((flags(descriptors[1]) & VIRTQ_DESC_F_INDIRECT) != 0) {
            return walkTable(chain, descriptors[0], descriptors[1]) ? walked(chain) : notWalked();
        }
        for (int i = 0; i < descriptors.length; i += 2) {
            if ((flags(descriptors[i + 1]) & VIRTQ_DESC_F_INDIRECT) != 0) {
                return brokenBy("indirect descriptor where none may be");
            }
            if (!addDescriptor(chain, descriptors[i], descriptors[i + 1])) {
                return BROKEN;
            }
        }
        return walked(chain);
    }

    /**
     * Follows a chain through the ring. The second half of a descriptor is read once, as a long, and so is its address; what the
     * guest changes afterwards is not seen. Whether the rest of a chain is marked available is not looked at: its first
     * descriptor stands for it, and the number of free slots bounds it.
     */
    private int walk(DescriptorChain chain, long first) {
        int position = availPosition;
        long half = first;
        int slotsFree = size - slotsInFlight;
        for (int slots = 1; slots <= slotsFree; slots++) {
            if ((flags(half) & VIRTQ_DESC_F_INDIRECT) != 0) {
                return brokenBy("indirect descriptor where none may be"); // Section 2.8.19: not in a list.
            }
            long guestAddress = HostMemory.getLong(address(position) + DESC_ADDR);
            if (!save(guestAddress, half) || !addDescriptor(chain, guestAddress, half)) {
                return BROKEN;
            }
            if ((flags(half) & VIRTQ_DESC_F_NEXT) == 0) {
                chain.headIndex = bufferId(half); // Section 2.8.6: the last descriptor has the buffer's id.
                return take(chain, slots);
            }
            position = position + 1 == size ? 0 : position + 1;
            half = HostMemory.getLong(address(position) + DESC_LEN_ID_FLAGS);
        }
        return brokenBy("chain longer than the ring has room for");
    }

    /** Follows a chain that is one descriptor, which points to a table. */
    private int walkPointer(DescriptorChain chain, long pointer) {
        long guestAddress = HostMemory.getLong(address(availPosition) + DESC_ADDR);
        return save(guestAddress, pointer) && walkTable(chain, guestAddress, pointer) ? take(chain, 1) : notWalked();
    }

    /** What {@link #pop} returns when {@link #walkTable} said no. */
    private int notWalked() {
        return isBroken() ? BROKEN : UNTRANSLATED;
    }

    /**
     * Goes through an indirect table: all of it, one entry after the other; of their flags only WRITE counts (2.8.7). Returns
     * false when that broke the queue, or the table is not translated.
     */
    private boolean walkTable(DescriptorChain chain, long guestAddress, long pointer) {
        long tableBytes = lengthBytes(pointer);
        if (!indirect || (flags(pointer) & VIRTQ_DESC_F_NEXT) != 0) {
            return isNotBrokenBy("indirect descriptor where none may be");
        }
        if (tableBytes == 0 || tableBytes % DESC_BYTES != 0 || tableBytes / DESC_BYTES > chainLengthMax) {
            return isNotBrokenBy("indirect table of a bad length");
        }
        long table = table(guestAddress, tableBytes);
        if (table == GuestMemory.UNMAPPED) {
            withoutTable();
            return false;
        }
        for (long entry = table; entry < table + tableBytes; entry += DESC_BYTES) {
            long half = HostMemory.getLong(entry + DESC_LEN_ID_FLAGS);
            if (!addDescriptor(chain, HostMemory.getLong(entry + DESC_ADDR), half)) {
                return false;
            }
        }
        return true;
    }

    private boolean isNotBrokenBy(String reason) {
        markBroken(reason);
        return false;
    }

    /** Copies a descriptor to where it outlives this process, if anywhere; returns false when that broke the queue. */
    private boolean save(long guestAddress, long half) {
        return inflight == null
                || inflight.save(guestAddress, half)
                || isNotBrokenBy("more chains in flight than the queue has descriptors");
    }

    /** Adds what a descriptor describes; returns false when that broke the queue. */
    private boolean addDescriptor(DescriptorChain chain, long guestAddress, long half) {
        boolean writable = (flags(half) & VIRTQ_DESC_F_WRITE) != 0;
        if (chain.sawWritable && !writable) {
            markBroken("readable buffer behind a writable one"); // Section 2.8.17
            return false;
        }
        chain.sawWritable = writable;
        chain.totalBytes += lengthBytes(half);
        if (chain.totalBytes > CHAIN_BYTES_MAX) {
            markBroken("chain longer than 4 GiB");
            return false;
        }
        return addBuffer(chain, guestAddress, lengthBytes(half), writable);
    }

    private static long lengthBytes(long half) {
        return half & 0xffffffffL;
    }

    private static int flags(long half) {
        return (int) (half >>> FLAGS_SHIFT);
    }

    private static int bufferId(long half) {
        return (int) (half >>> 32) & 0xffff;
    }

    private int take(DescriptorChain chain, int slots) {
        int walked = walked(chain);
        if (walked != POPPED) {
            return walked;
        }
        if (inflight != null) {
            chain.inflightEntry = inflight.take(slots);
        }
        chain.ringSlots = slots;
        slotsInFlight += slots;
        availPosition += slots;
        if (availPosition >= size) {
            availPosition -= size;
            availMarks ^= MARKS;
        }
        return POPPED;
    }

    @Override
    public void pushUsed(DescriptorChain chain, int writtenBytes) {
        if (inflight == null) {
            writeUsed(chain, writtenBytes);
            return;
        }
        inflight.reached(InflightPoint.DONE);
        writeUsed(chain, writtenBytes);
        inflight.used(chain.inflightEntry);
    }

    private void writeUsed(DescriptorChain chain, int writtenBytes) {
        // Section 2.8.3: WRITE tells whether anything was written at all, be it only the end of the writable part.
        long flags = chain.writableBytes() > 0 ? (long) VIRTQ_DESC_F_WRITE << FLAGS_SHIFT : 0;
        long used = lengthBytes(writtenBytes) | (long) chain.headIndex << 32 | flags | usedMarks;
        long address = address(usedPosition) + DESC_LEN_ID_FLAGS;
        if (slotsUnpublished == 0) {
            firstUsedAddress = address;
            firstUsed = used;
        } else {
            HostMemory.putLong(address, used);
            logRing(address, Long.BYTES);
        }
        int slots = chain.ringSlots;
        slotsUnpublished += slots;
        slotsInFlight -= slots;
        usedPosition += slots;
        if (usedPosition >= size) {
            usedPosition -= size;
            usedMarks ^= MARKS;
        }
    }

    @Override
    public boolean hasUnpublished() {
        return slotsUnpublished != 0;
    }

    @Override
    public boolean publishUsed() {
        if (slotsUnpublished == 0) {
            return false;
        }
        if (inflight != null) {
            inflight.link(usedPosition, usedWrap());
        }
        // Release: the data and the used descriptors behind this one are visible before it.
        HostMemory.putLongRelease(firstUsedAddress, firstUsed);
        if (inflight != null) {
            inflight.commit();
        }
        logRing(firstUsedAddress, Long.BYTES);
        slotsSinceSignal = Math.min(size, slotsSinceSignal + slotsUnpublished);
        slotsUnpublished = 0;
        // [E] Full fence: our descriptors are visible before we look at what the driver asks for; pairs with the
        // driver's
        // fence between writing its event suppression and its last look at the next used descriptor (section 2.8.22).
        VarHandle.fullFence();
        boolean notify = interruptWanted();
        if (notify) {
            // Only a signal that is really sent counts as one.
            slotsSinceSignal = 0;
        }
        return notify;
    }

    @Override
    void logAllOfRing() {
        logRing(ring, (long) DESC_BYTES * size);
        logRing(deviceEvent, Integer.BYTES);
    }

    /** Section 2.8.10. A wish of reserved kind, or of one that was not negotiated, is one for every interrupt. */
    private boolean interruptWanted() {
        int event = HostMemory.getInt(driverEvent);
        int wish = event >>> EVENT_FLAGS_SHIFT & EVENT_FLAGS_MASK;
        if (wish != RING_EVENT_FLAGS_DESC || !eventIdx) {
            return wish != RING_EVENT_FLAGS_DISABLE;
        }
        // How far back the descriptor of the event lies: none or less when it is still to come, more than the ring has
        // when it belongs to the lap after this one.
        boolean sameLap = (event >>> WRAP_SHIFT & 1) != 0 == usedWrap();
        int slotsBack = usedPosition - (event & POSITION_MASK) + (sameLap ? 0 : size);
        return slotsBack > 0 && slotsBack <= slotsSinceSignal;
    }

    @Override
    public void suppressKicks() {
        if (!kicksSuppressed) { // The driver reads that line with each chain it adds: it is not written without need.
            kicksSuppressed = true;
            putDeviceEvent(RING_EVENT_FLAGS_DISABLE << EVENT_FLAGS_SHIFT);
        }
    }

    /** Both areas that the device writes are found by their addresses: log_guest_addr names but one. */
    private void putDeviceEvent(int event) {
        HostMemory.putInt(deviceEvent, event);
        logRing(deviceEvent, Integer.BYTES);
    }

    @Override
    public boolean requestKicks() {
        kicksSuppressed = false;
        // One store for both fields, so that no driver sees the flags of one wish with the position of another.
        int wish = eventIdx
                ? availPosition | (availWrap() ? 1 << WRAP_SHIFT : 0) | RING_EVENT_FLAGS_DESC << EVENT_FLAGS_SHIFT
                : RING_EVENT_FLAGS_ENABLE << EVENT_FLAGS_SHIFT;
        putDeviceEvent(wish);
        // [F] Full fence: our wish is visible before our last look; pairs with the driver's fence between making a
        // chain
        // available and reading our event suppression. One of the two sees the other.
        VarHandle.fullFence();
        return hasAvailable();
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.frontend;

import dev.vublk.vhostuser.virtqueue.VirtioFeature;

/**
 * The driver's side of a virtqueue in memory that the caller provides. One thread.
 *
 * <p>A well-behaved driver uses {@link #add} or {@link #addPrepared}, {@link #publish}, {@link #shouldKick} and {@link #pollUsed}.
 * The methods named {@code raw…} of the two kinds write what no driver may write, for tests of the device.
 */
public abstract sealed class DriverVirtqueue permits SplitDriverVirtqueue, PackedDriverVirtqueue {
    /** {@link #add} found too few free descriptors. */
    public static final int NO_HEAD = -1;

    /** What {@link #prepared} says of a head: an ordinary chain or none, a prepared one that is the driver's, or the device's. */
    static final byte NOT_PREPARED = 0;

    static final byte PREPARED = 1;
    static final byte PREPARED_IN_FLIGHT = 2;

    final int size;
    final boolean eventIdx;
    final byte[] prepared;
    int freeCount;
    int usedId;
    int usedBytes;

    DriverVirtqueue(int size, boolean eventIdx) {
        this.size = size;
        this.eventIdx = eventIdx;
        prepared = new byte[size];
    }

    /**
     * Lays a ring out at {@code hostAddress} (16-byte aligned, {@link #bytes} long) and clears it.
     *
     * @param features what was negotiated: RING_PACKED and EVENT_IDX matter
     */
    public static DriverVirtqueue of(long hostAddress, int size, long features) {
        boolean eventIdx = (features & VirtioFeature.VIRTIO_F_EVENT_IDX) != 0;
        return (features & VirtioFeature.VIRTIO_F_RING_PACKED) != 0
                ? new PackedDriverVirtqueue(hostAddress, size, eventIdx)
                : new SplitDriverVirtqueue(hostAddress, size, eventIdx);
    }

    /** Bytes that a ring of either kind needs. */
    public static long bytes(int size) {
        return Math.max(SplitDriverVirtqueue.ringBytes(size), PackedDriverVirtqueue.ringBytes(size));
    }

    /** Forgets everything and clears the ring, as a driver does when it sets a queue up. */
    public abstract void reset();

    /** Host address of the descriptor table or ring. */
    public abstract long descAddress();

    /** Host address of the driver area. */
    public abstract long availAddress();

    /** Host address of the device area. */
    public abstract long usedAddress();

    /** What SET_VRING_BASE says when the device is to go on behind the last used element taken, with nothing in flight. */
    public abstract int base();

    /** What {@link #base} will be when every used element that waits has been taken: where the device stands. */
    public abstract int returnedBase();

    public final int size() {
        return size;
    }

    public final int freeCount() {
        return freeCount;
    }

    /**
     * Adds a chain, not yet visible to the device: the first {@code readable} buffers are read by the device, the other
     * {@code writable} written.
     *
     * @return the head index or buffer id, or {@link #NO_HEAD} when too few descriptors are free
     */
    public abstract int add(long[] guestAddresses, int[] lengths, int readable, int writable);

    /** As {@link #add}, with one descriptor that points to a table of {@code entries} written by {@link #putTableEntry}. */
    public abstract int addIndirect(long tableGuestAddress, int entries);

    /** Writes an entry of an indirect table that has {@code entries}. */
    public abstract void putTableEntry(
            long tableHostAddress, int entries, int index, long guestAddress, int length, boolean writable);

    /**
     * Makes a chain that is used again and again: its descriptors stay taken, and {@link #addPrepared} adds it each time. The
     * parameters are those of {@link #add}.
     */
    public abstract int prepare(long[] guestAddresses, int[] lengths, int readable, int writable);

    /** As {@link #prepare}, with an indirect table as in {@link #addIndirect}. */
    public abstract int prepareIndirect(long tableGuestAddress, int entries);

    /** Adds a prepared chain, not yet visible to the device. It must not be in flight. */
    public final void addPrepared(int head) {
        if (prepared[head] != PREPARED) {
            throw new IllegalStateException("chain " + head + " is in flight, or was never prepared");
        }
        prepared[head] = PREPARED_IN_FLIGHT;
        makeAvailable(head);
    }

    abstract void makeAvailable(int head);

    /** Shows the device everything added. */
    public abstract void publish();

    /** Whether the device wants a kick for what was published since the last time this was asked. */
    public abstract boolean shouldKick();

    /** Takes the next used element, if any: {@link #usedId} and {@link #usedBytes} then tell about it. */
    public abstract boolean pollUsed();

    /** How many used elements wait. */
    public abstract int countUsed();

    /** Takes the next used element, of which {@link #countUsed} has told. */
    public abstract void takeUsed();

    /** The head index or buffer id of the used element that was taken last. */
    public final int usedId() {
        return usedId;
    }

    public final int usedBytes() {
        return usedBytes;
    }

    /** Chains that the device has returned since the ring was reset, taken from it or not; the low 16 bits. */
    public abstract int returnedCount();

    /**
     * Asks for an interrupt on the next used element.
     *
     * @return whether one came in just before: look again rather than wait
     */
    public abstract boolean requestInterrupt();

    /** Asks for no interrupts: the driver polls. */
    public abstract void suppressInterrupts();

    /** After the interrupt that was asked for: makes sure that no other comes before it is asked for. */
    public abstract void endInterrupt();
}

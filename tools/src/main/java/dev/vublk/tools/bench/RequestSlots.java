// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import static dev.vublk.tools.bench.BlkSpec.*;
import static dev.vublk.vhostuser.virtqueue.VirtqueueLayout.DESC_BYTES;

import dev.vublk.vhostuser.frontend.DriverVirtqueue;
import dev.vublk.vhostuser.memory.HostMemory;

/**
 * The requests of one queue, made once: buffers in guest memory and a prepared chain for each direction that is used. A
 * request is then two or three stores and a ring entry. Used by the thread that drives the queue.
 *
 * <pre>
 * a slot's control line (64 bytes):  | header 16 | status 1 | unused |
 * </pre>
 *
 * Header and status share a line, as in Linux (struct virtblk_req): it travels to the device and back once a request.
 */
final class RequestSlots {
    private static final int CONTROL_BYTES = 64;
    private static final int CONTROL_STATUS = HEADER_BYTES;
    private static final int DATA_ALIGNMENT = 4096;
    private static final int FLUSH_DESCRIPTORS = 2;

    /** What a status byte is before the device has written it: none of the specification's. */
    private static final byte STATUS_UNSET = (byte) 0xff;

    private final BenchDisk disk;
    private final DriverVirtqueue ring;
    private final int count;
    private final int blockBytes;
    private final int segmentBytes;
    private final int segments;
    private final boolean indirect;
    private final long control;
    private final long data;
    private final long dataStride;
    private final int[] readHeads;
    private final int[] writeHeads;
    private final int[] slotOfHead;

    RequestSlots(BenchDisk disk, BenchQueue queue, BenchOptions options) {
        this.disk = disk;
        ring = queue.ring();
        count = options.ioDepth();
        blockBytes = options.blockBytes();
        segmentBytes = Math.min(blockBytes, disk.segmentBytesMax());
        segments = segments(disk, options);
        indirect = options.indirect();
        control = disk.allocate((long) count * CONTROL_BYTES, CONTROL_BYTES);
        dataStride = dataStride(options);
        data = disk.allocate(count * dataStride, DATA_ALIGNMENT);
        slotOfHead = new int[ring.size()];
        readHeads = options.workload().reads() ? prepareAll(VIRTIO_BLK_T_IN) : new int[0];
        writeHeads = options.workload().writes() ? prepareAll(VIRTIO_BLK_T_OUT) : new int[0];
    }

    /** Data descriptors of a request. */
    static int segments(BenchDisk disk, BenchOptions options) {
        return (int) ((options.blockBytes() + (long) disk.segmentBytesMax() - 1) / disk.segmentBytesMax());
    }

    /** Descriptors of the ring that all slots take. */
    static long descriptors(BenchDisk disk, BenchOptions options) {
        int chains = (options.workload().reads() ? 1 : 0) + (options.workload().writes() ? 1 : 0);
        int flush = options.workload().isVerification() ? FLUSH_DESCRIPTORS : 0;
        return (long) options.ioDepth() * chains * (options.indirect() ? 1 : segments(disk, options) + 2) + flush;
    }

    /** Shared memory that all slots of a queue take at most. */
    static long memoryBytes(BenchDisk disk, BenchOptions options) {
        long table = options.indirect() ? 2L * tableBytes(segments(disk, options)) : 0;
        return options.ioDepth() * (CONTROL_BYTES + table + dataStride(options)) + CONTROL_BYTES + 2L * DATA_ALIGNMENT;
    }

    private static long dataStride(BenchOptions options) {
        return (options.blockBytes() + DATA_ALIGNMENT - 1L) & -DATA_ALIGNMENT;
    }

    private static int tableBytes(int segments) {
        return (segments + 2) * DESC_BYTES;
    }

    private int[] prepareAll(int type) {
        int[] heads = new int[count];
        for (int slot = 0; slot < count; slot++) {
            heads[slot] = prepare(slot, type == VIRTIO_BLK_T_IN);
            slotOfHead[heads[slot]] = slot;
        }
        return heads;
    }

    private int prepare(int slot, boolean reads) {
        int entries = segments + 2;
        long[] addresses = new long[entries];
        int[] lengths = new int[entries];
        addresses[0] = disk.guestAddress(controlOf(slot));
        lengths[0] = HEADER_BYTES;
        for (int i = 0; i < segments; i++) {
            addresses[i + 1] = disk.guestAddress(dataOf(slot) + (long) i * segmentBytes);
            lengths[i + 1] = Math.min(segmentBytes, blockBytes - i * segmentBytes);
        }
        addresses[entries - 1] = disk.guestAddress(controlOf(slot) + CONTROL_STATUS);
        lengths[entries - 1] = 1;
        int readable = reads ? 1 : 1 + segments;
        int head = indirect
                ? ring.prepareIndirect(writeTable(addresses, lengths, readable), entries)
                : ring.prepare(addresses, lengths, readable, entries - readable);
        if (head == DriverVirtqueue.NO_HEAD) {
            throw new IllegalStateException("the ring is too small for its slots");
        }
        return head;
    }

    /** The guest address of an indirect table. */
    private long writeTable(long[] addresses, int[] lengths, int readable) {
        int entries = addresses.length;
        long table = disk.allocate(tableBytes(segments), DESC_BYTES);
        for (int i = 0; i < entries; i++) {
            ring.putTableEntry(table, entries, i, addresses[i], lengths[i], i >= readable);
        }
        return disk.guestAddress(table);
    }

    int count() {
        return count;
    }

    private long controlOf(int slot) {
        return control + (long) slot * CONTROL_BYTES;
    }

    /** Host address of a slot's data. */
    long dataOf(int slot) {
        return data + slot * dataStride;
    }

    /** Adds a read of the slot's length. */
    void addRead(int slot, long sector) {
        add(slot, VIRTIO_BLK_T_IN, sector, readHeads[slot]);
    }

    /** Adds a write of the slot's data. */
    void addWrite(int slot, long sector) {
        add(slot, VIRTIO_BLK_T_OUT, sector, writeHeads[slot]);
    }

    private void add(int slot, int type, long sector, int head) {
        long line = controlOf(slot);
        HostMemory.putLong(line + HEADER_TYPE, type); // The reserved field is 0.
        HostMemory.putLong(line + HEADER_SECTOR, sector);
        HostMemory.putByte(line + CONTROL_STATUS, STATUS_UNSET);
        ring.addPrepared(head);
    }

    /** Adds a flush, with a chain of its own. */
    void addFlush(int slot) {
        long line = controlOf(slot);
        HostMemory.putLong(line + HEADER_TYPE, VIRTIO_BLK_T_FLUSH);
        HostMemory.putLong(line + HEADER_SECTOR, 0);
        HostMemory.putByte(line + CONTROL_STATUS, STATUS_UNSET);
        int head = ring.add(
                new long[] {disk.guestAddress(line), disk.guestAddress(line + CONTROL_STATUS)},
                new int[] {HEADER_BYTES, 1},
                1,
                1);
        if (head == DriverVirtqueue.NO_HEAD) {
            throw new IllegalStateException("the ring has no room for a flush");
        }
        slotOfHead[head] = slot;
    }

    /** The slot of the used element that the ring has just taken. */
    int usedSlot() {
        return slotOfHead[ring.usedId()];
    }

    /** The status byte that the device has written, as a number from 0. */
    int status(int slot) {
        return HostMemory.getByte(controlOf(slot) + CONTROL_STATUS) & 0xff;
    }
}

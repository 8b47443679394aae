// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.virtqueue;

/**
 * Where things are in a split virtqueue (virtio 1.2 section 2.7); all values little-endian.
 *
 * <pre>
 * struct virtq_desc  { le64 addr; le32 len; le16 flags; le16 next; }            16 bytes, queue size of them
 * struct virtq_avail { le16 flags; le16 idx; le16 ring[size]; le16 used_event; }
 * struct virtq_used  { le16 flags; le16 idx; { le32 id; le32 len; } ring[size]; le16 avail_event; }
 * </pre>
 */
public final class VirtqueueLayout {
    public static final int DESC_BYTES = 16;
    public static final int DESC_ADDR = 0;
    /** The second half of a descriptor is read as one long: {@code len | flags << 32 | next << 48}. */
    public static final int DESC_LEN_FLAGS_NEXT = 8;

    public static final int VIRTQ_DESC_F_NEXT = 1;
    public static final int VIRTQ_DESC_F_WRITE = 2;
    public static final int VIRTQ_DESC_F_INDIRECT = 4;

    public static final int AVAIL_FLAGS = 0;
    public static final int AVAIL_IDX = 2;
    public static final int AVAIL_RING = 4;
    /** The driver does not want to be interrupted (only without EVENT_IDX). */
    public static final int VIRTQ_AVAIL_F_NO_INTERRUPT = 1;

    public static final int USED_FLAGS = 0;
    public static final int USED_IDX = 2;
    public static final int USED_RING = 4;
    public static final int USED_ELEM_BYTES = 8;
    /** The device does not want to be kicked (only without EVENT_IDX). */
    public static final int VIRTQ_USED_F_NO_NOTIFY = 1;

    /** Largest size of a split ring (section 2.7). */
    public static final int QUEUE_SIZE_MAX = 32768;

    private VirtqueueLayout() {}

    /** Bytes of the descriptor table; 16-byte aligned. */
    public static long descBytes(int size) {
        return (long) DESC_BYTES * size;
    }

    /** Bytes of the driver area with {@code used_event}; 2-byte aligned. */
    public static long availBytes(int size) {
        return 6 + 2L * size;
    }

    /** Bytes of the device area with {@code avail_event}; 4-byte aligned. */
    public static long usedBytes(int size) {
        return 6 + 8L * size;
    }

    /** Offset of {@code used_event} in the driver area. */
    public static long usedEventOffset(int size) {
        return AVAIL_RING + 2L * size;
    }

    /** Offset of {@code avail_event} in the device area. */
    public static long availEventOffset(int size) {
        return USED_RING + (long) USED_ELEM_BYTES * size;
    }
}

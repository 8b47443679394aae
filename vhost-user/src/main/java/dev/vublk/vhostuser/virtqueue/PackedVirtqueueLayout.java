// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.virtqueue;

/**
 * Where things are in a packed virtqueue (virtio 1.2 section 2.8); all values little-endian. The flags NEXT, WRITE and
 * INDIRECT are those of {@link VirtqueueLayout}.
 *
 * <pre>
 * struct pvirtq_desc           { le64 addr; le32 len; le16 id; le16 flags; }    16 bytes, queue size of them: the ring
 * struct pvirtq_event_suppress { le16 off_wrap; le16 flags; }                   4 bytes: driver area, device area
 * </pre>
 *
 * <p>Each side has a wrap counter of one bit, 1 at first, that it flips at the end of the ring:
 *
 * <pre>
 *   a descriptor is     when its flags have
 *   available           AVAIL = the counter, USED = its inverse
 *   used                AVAIL = USED = the counter
 * </pre>
 */
public final class PackedVirtqueueLayout {
    public static final int DESC_BYTES = 16;
    public static final int DESC_ADDR = 0;
    /**
     * The second half of a descriptor is read and written as one long: {@code len | id << 32 | flags << 48}. So length, id and
     * flags are never of different times.
     */
    public static final int DESC_LEN_ID_FLAGS = 8;

    public static final int VIRTQ_DESC_F_AVAIL = 1 << 7;
    public static final int VIRTQ_DESC_F_USED = 1 << 15;

    /** Where the flags are in the second half of a descriptor. */
    public static final int FLAGS_SHIFT = 48;

    /** Bytes of the driver area, and of the device area; 4-byte aligned. Read and written as one int. */
    public static final int EVENT_BYTES = 4;

    public static final int EVENT_FLAGS_SHIFT = 16;
    /** Flags have two bits; the others are reserved. */
    public static final int EVENT_FLAGS_MASK = 3;

    public static final int RING_EVENT_FLAGS_ENABLE = 0;
    public static final int RING_EVENT_FLAGS_DISABLE = 1;
    /** For a certain descriptor only; valid with EVENT_IDX. */
    public static final int RING_EVENT_FLAGS_DESC = 2;

    /** Largest size of a packed ring (section 2.8); it need not be a power of two. */
    public static final int QUEUE_SIZE_MAX = 32768;

    /** A position and its wrap counter in 16 bits, as in event suppression and base. */
    public static final int POSITION_MASK = 0x7fff;

    public static final int WRAP_SHIFT = 15;

    private PackedVirtqueueLayout() {}

    /** Bytes of the descriptor ring; 16-byte aligned. */
    public static long descBytes(int size) {
        return (long) DESC_BYTES * size;
    }
}

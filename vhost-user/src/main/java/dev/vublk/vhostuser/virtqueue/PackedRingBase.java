// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.virtqueue;

import static dev.vublk.vhostuser.virtqueue.PackedVirtqueueLayout.DESC_BYTES;
import static dev.vublk.vhostuser.virtqueue.PackedVirtqueueLayout.DESC_LEN_ID_FLAGS;
import static dev.vublk.vhostuser.virtqueue.PackedVirtqueueLayout.FLAGS_SHIFT;
import static dev.vublk.vhostuser.virtqueue.PackedVirtqueueLayout.POSITION_MASK;
import static dev.vublk.vhostuser.virtqueue.PackedVirtqueueLayout.VIRTQ_DESC_F_USED;
import static dev.vublk.vhostuser.virtqueue.PackedVirtqueueLayout.WRAP_SHIFT;

import dev.vublk.vhostuser.memory.HostMemory;

/**
 * Where a packed ring goes on: what SET_VRING_BASE and GET_VRING_BASE carry in 32 bits.
 *
 * <pre>
 *   0              15           16           31
 *   | avail position | avail wrap | used position | used wrap |
 * </pre>
 *
 * @param availPosition next descriptor that the driver makes available
 * @param availWrap wrap counter with which it does so
 * @param usedPosition next descriptor that the device marks used
 * @param usedWrap wrap counter with which it does so
 */
public record PackedRingBase(int availPosition, boolean availWrap, int usedPosition, boolean usedWrap) {
    /** A ring that was never used: both wrap counters are 1 (section 2.8.1). */
    public static final PackedRingBase INITIAL = new PackedRingBase(0, true, 0, true);

    private static final int HALF_BITS = 16;

    /** Takes all bits for what they say. */
    public static PackedRingBase decode(int base) {
        return new PackedRingBase(
                base & POSITION_MASK,
                (base >>> WRAP_SHIFT & 1) != 0,
                base >>> HALF_BITS & POSITION_MASK,
                (base >>> (HALF_BITS + WRAP_SHIFT) & 1) != 0);
    }

    /**
     * What a front end means by {@code base}. Two values do not mean what they say:
     *
     * <ul>
     *   <li>0: Linux UML sends it for every new ring, where {@link #INITIAL} is meant. It is also where a ring stands that has
     *       gone round an odd number of times. The ring itself tells: in its last lap, made with wrap counter 1, the device
     *       marked at least one descriptor USED, and the driver has not cleared that mark since; in a new ring nobody has set
     *       it.
     *   <li>an upper half of 0 and a lower half that is not: a front end that knows 16 bits only (DPDK's virtio-user).
     *       Then nothing is in flight, and the device goes on where the driver does. (A device that stopped with requests in
     *       flight could mean it, too; ours drains first.)
     * </ul>
     *
     * @param ringHostAddress the descriptor ring, all of it mapped
     */
    public static PackedRingBase of(int base, long ringHostAddress, int size) {
        if (base == 0) {
            return isAnyMarkedUsed(ringHostAddress, size) ? decode(0) : INITIAL;
        }
        PackedRingBase told = decode(base);
        return base >>> HALF_BITS != 0
                ? told
                : new PackedRingBase(told.availPosition, told.availWrap, told.availPosition, told.availWrap);
    }

    private static boolean isAnyMarkedUsed(long ringHostAddress, int size) {
        for (int i = 0; i < size; i++) {
            long half = HostMemory.getLongAcquire(ringHostAddress + (long) DESC_BYTES * i + DESC_LEN_ID_FLAGS);
            if ((half >>> FLAGS_SHIFT & VIRTQ_DESC_F_USED) != 0) {
                return true;
            }
        }
        return false;
    }

    /** The 32 bits. */
    public int encode() {
        return half(availPosition, availWrap) | half(usedPosition, usedWrap) << HALF_BITS;
    }

    private static int half(int position, boolean wrap) {
        return position | (wrap ? 1 << WRAP_SHIFT : 0);
    }

    /** Whether a ring of {@code size} can stand there: positions in the ring, the device at most a lap behind the driver. */
    public boolean fits(int size) {
        int behind = slotsBehind(size);
        return availPosition < size && usedPosition < size && behind >= 0 && behind <= size;
    }

    /** Descriptors that the driver made available and the device has not marked used. */
    int slotsBehind(int size) {
        return availPosition - usedPosition + (availWrap == usedWrap ? 0 : size);
    }

    /** Whether the ring has been in use before: it does not stand at the start, or bears marks of a device. */
    public boolean isInUse(long ringHostAddress, int size) {
        return !equals(INITIAL) || isAnyMarkedUsed(ringHostAddress, size);
    }
}

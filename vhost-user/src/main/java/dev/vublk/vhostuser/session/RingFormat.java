// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

import dev.vublk.vhostuser.memory.HostMemory;
import dev.vublk.vhostuser.protocol.VhostUserProtocolException;
import dev.vublk.vhostuser.virtqueue.PackedRingBase;
import dev.vublk.vhostuser.virtqueue.PackedVirtqueueLayout;
import dev.vublk.vhostuser.virtqueue.VirtioFeature;
import dev.vublk.vhostuser.virtqueue.VirtqueueLayout;

/** What the kinds of ring ask of size, addresses and base: all rings of a device are of one kind. Control loop. */
enum RingFormat {
    /** Virtio 1.2, 2.7. */
    SPLIT(2, true),
    /** Virtio 1.2, 2.8. */
    PACKED(PackedVirtqueueLayout.EVENT_BYTES, false),
    /** Before SET_FEATURES: what either kind permits; the start looks again. */
    UNDECIDED(2, false);

    static final int DESC_ALIGNMENT = 16;
    static final int USED_ALIGNMENT = 4;

    final int availAlignment;
    private final boolean sizeIsPowerOfTwo;

    RingFormat(int availAlignment, boolean sizeIsPowerOfTwo) {
        this.availAlignment = availAlignment;
        this.sizeIsPowerOfTwo = sizeIsPowerOfTwo;
    }

    /** Of acknowledged features. */
    static RingFormat of(long features) {
        return (features & VirtioFeature.VIRTIO_F_RING_PACKED) != 0 ? PACKED : SPLIT;
    }

    long descBytes(int size) {
        return this == PACKED ? PackedVirtqueueLayout.descBytes(size) : VirtqueueLayout.descBytes(size);
    }

    long availBytes(int size) {
        return this == PACKED ? PackedVirtqueueLayout.EVENT_BYTES : VirtqueueLayout.availBytes(size);
    }

    long usedBytes(int size) {
        return this == PACKED ? PackedVirtqueueLayout.EVENT_BYTES : VirtqueueLayout.usedBytes(size);
    }

    /** @param sizeMax the device's */
    void checkSize(int index, int size, int sizeMax) throws VhostUserProtocolException {
        if (size < 1 || size > sizeMax || (sizeIsPowerOfTwo && Integer.bitCount(size) != 1)) {
            throw new VhostUserProtocolException(
                    "ring " + index + " of " + Integer.toUnsignedLong(size) + " descriptors; "
                            + (sizeIsPowerOfTwo ? "a power of two up to " : "up to ") + sizeMax + " is possible");
        }
    }

    /** A split ring's base has 16 bits. What a packed ring's must be depends on its size: {@link #baseToStartFrom}. */
    void checkBase(int index, int base) throws VhostUserProtocolException {
        if (this == SPLIT && (base & ~0xffff) != 0) {
            throw new VhostUserProtocolException(
                    "ring " + index + " with base " + Integer.toUnsignedLong(base) + ", beyond 16 bits");
        }
    }

    void checkAlignment(int index, long desc, long avail, long used) throws VhostUserProtocolException {
        if (desc % DESC_ALIGNMENT != 0 || avail % availAlignment != 0 || used % USED_ALIGNMENT != 0) {
            throw new VhostUserProtocolException("ring " + index + " has misaligned addresses");
        }
    }

    /** What the device is given for the base that the front end told: a packed one needs a look at the ring. */
    int baseToStartFrom(int index, int base, long descHostAddress, int size) throws VhostUserProtocolException {
        checkBase(index, base);
        if (this != PACKED) {
            return base;
        }
        PackedRingBase meant = PackedRingBase.of(base, descHostAddress, size);
        if (!meant.fits(size)) {
            throw new VhostUserProtocolException("ring " + index + " with base 0x" + Integer.toHexString(base)
                    + ", where no packed ring of " + size + " can be");
        }
        return meant.encode();
    }

    /**
     * Whether the ring has been in use before: it must be looked at without waiting for a kick.
     *
     * @param base from {@link #baseToStartFrom}
     */
    boolean isInUse(int base, long descHostAddress, long usedHostAddress, int size) {
        return this == PACKED
                ? PackedRingBase.decode(base).isInUse(descHostAddress, size)
                : base != 0 || HostMemory.getU16Acquire(usedHostAddress + VirtqueueLayout.USED_IDX) != 0;
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.protocol;

import java.nio.ByteBuffer;

/**
 * Where the three parts of a ring lie, in the front end's own address space; note the order.
 *
 * <pre>
 *   0       4       8      16     24      32            40
 *   | index | flags | desc | used | avail | log address |
 * </pre>
 *
 * @param index which ring; unchecked
 * @param flags bit 0: log writes to the used ring
 * @param descUserAddress descriptor table
 * @param usedUserAddress device area
 * @param availUserAddress driver area
 * @param logGuestAddress guest-physical address of the used ring, for the dirty log
 */
public record VringAddress(
        int index, int flags, long descUserAddress, long usedUserAddress, long availUserAddress, long logGuestAddress) {
    public static final int SIZE_BYTES = 40;

    /** Writes to the used ring are to be logged at {@link #logGuestAddress}. */
    public static final int VHOST_VRING_F_LOG = 1;

    public static VringAddress decode(ByteBuffer buffer) {
        return new VringAddress(
                buffer.getInt(),
                buffer.getInt(),
                buffer.getLong(),
                buffer.getLong(),
                buffer.getLong(),
                buffer.getLong());
    }

    /** Whether writes to the used ring are to be logged. */
    public boolean isLogged() {
        return (flags & VHOST_VRING_F_LOG) != 0;
    }

    /** Whether the parts of the ring lie where they do in {@code other}; what is to be logged may differ. */
    public boolean isSameRing(VringAddress other) {
        return descUserAddress == other.descUserAddress
                && usedUserAddress == other.usedUserAddress
                && availUserAddress == other.availUserAddress;
    }

    public ByteBuffer encode() {
        return Wire.allocate(SIZE_BYTES)
                .putInt(index)
                .putInt(flags)
                .putLong(descUserAddress)
                .putLong(usedUserAddress)
                .putLong(availUserAddress)
                .putLong(logGuestAddress)
                .flip();
    }
}

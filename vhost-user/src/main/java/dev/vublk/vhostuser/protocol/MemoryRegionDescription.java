// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.protocol;

import java.nio.ByteBuffer;

/**
 * A region of guest memory as the front end describes it (vhost-user, "Memory region description").
 *
 * <pre>
 *   0               8        16             24            32
 *   | guest address |  size  | user address | mmap offset |
 * </pre>
 *
 * @param guestAddress where the guest sees it: what descriptors in a ring hold
 * @param sizeBytes its length
 * @param userAddress where the front end sees it: what ring addresses are given in
 * @param mmapOffsetBytes where it begins in the file that comes with it
 */
public record MemoryRegionDescription(long guestAddress, long sizeBytes, long userAddress, long mmapOffsetBytes) {
    public static final int SIZE_BYTES = 32;

    /** ADD_MEM_REG and REM_MEM_REG have 8 bytes of padding before the region. */
    public static final int PADDED_SIZE_BYTES = 40;

    public static MemoryRegionDescription decode(ByteBuffer buffer) {
        return new MemoryRegionDescription(buffer.getLong(), buffer.getLong(), buffer.getLong(), buffer.getLong());
    }

    public static MemoryRegionDescription decodePadded(ByteBuffer buffer) {
        buffer.getLong();
        return decode(buffer);
    }

    /** The same region, seen elsewhere. */
    public MemoryRegionDescription withUserAddress(long newUserAddress) {
        return new MemoryRegionDescription(guestAddress, sizeBytes, newUserAddress, mmapOffsetBytes);
    }

    public void encode(ByteBuffer buffer) {
        buffer.putLong(guestAddress).putLong(sizeBytes).putLong(userAddress).putLong(mmapOffsetBytes);
    }

    public ByteBuffer encodePadded() {
        ByteBuffer buffer = Wire.allocate(PADDED_SIZE_BYTES).putLong(0);
        encode(buffer);
        return buffer.flip();
    }

    /** Whether REM_MEM_REG means this one: by addresses and size; the offset need not be repeated. */
    public boolean isSameRegion(MemoryRegionDescription other) {
        return guestAddress == other.guestAddress && sizeBytes == other.sizeBytes && userAddress == other.userAddress;
    }

    /** For a message: the guest-physical range. */
    @Override
    public String toString() {
        return "guest region 0x" + Long.toHexString(guestAddress) + "+0x" + Long.toHexString(sizeBytes);
    }
}

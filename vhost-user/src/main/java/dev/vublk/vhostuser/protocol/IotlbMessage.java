// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.protocol;

import java.nio.ByteBuffer;

/**
 * What the two ends tell each other of the guest's IOMMU (vhost-user, "IOTLB messages"): {@code struct vhost_iotlb_msg}.
 *
 * <pre>
 *   0      8      16             24           25     26        32
 *   | iova | size | user address | permission | type | padding |
 * </pre>
 *
 * @param iova I/O virtual address: what the guest's driver gives a device
 * @param sizeBytes how many addresses from there on; 0: all that follow (that is how 2^64 is written)
 * @param userAddress where they lie in the front end's address space, for an update
 * @param permission {@link #RO}, {@link #WO} or {@link #RW}
 * @param type what it tells; unchecked
 */
public record IotlbMessage(long iova, long sizeBytes, long userAddress, int permission, int type) {
    public static final int SIZE_BYTES = 32;

    public static final int MISS = 1;
    public static final int UPDATE = 2;
    public static final int INVALIDATE = 3;
    public static final int ACCESS_FAIL = 4;

    /** The device may read there. */
    public static final int RO = 1;
    /** The device may write there. */
    public static final int WO = 2;

    public static final int RW = 3;

    /** The back end asks for a translation. */
    public static IotlbMessage miss(long iova, int permission) {
        return new IotlbMessage(iova, 0, 0, permission, MISS);
    }

    /** The back end tells that it was refused one. */
    public static IotlbMessage accessFail(long iova, int permission) {
        return new IotlbMessage(iova, 0, 0, permission, ACCESS_FAIL);
    }

    public static IotlbMessage decode(ByteBuffer buffer) {
        return new IotlbMessage(buffer.getLong(), buffer.getLong(), buffer.getLong(), buffer.get(), buffer.get());
    }

    public ByteBuffer encode() {
        return Wire.allocate(SIZE_BYTES)
                .putLong(iova)
                .putLong(sizeBytes)
                .putLong(userAddress)
                .put((byte) permission)
                .put((byte) type)
                .putShort((short) 0)
                .putInt(0)
                .flip();
    }

    /** The last address meant, as an unsigned number. */
    public long lastIova() {
        return sizeBytes == 0 ? -1 : iova + sizeBytes - 1;
    }

    /** Whether the addresses wrap around the end of the address space. */
    public boolean wraps() {
        return Long.compareUnsigned(lastIova(), iova) < 0;
    }
}

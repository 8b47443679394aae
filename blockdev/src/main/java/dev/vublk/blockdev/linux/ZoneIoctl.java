// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.linux;

/**
 * The ioctls of zoned block devices and their structures ({@code linux/blkzoned.h}). Sectors are of 512 bytes. Any thread;
 * blocking; a value or 0, or a negative errno.
 *
 * <pre>
 *  struct blk_zone_range   0 sector u64, 8 nr_sectors u64
 *  struct blk_zone_report  0 sector u64, 8 nr_zones u32, 12 flags u32, 16 zones[]
 *  struct blk_zone         0 start u64, 8 len u64, 16 wp u64, 24 type u8, 25 cond u8, 26 non_seq u8, 27 reset u8,
 *                          28 resv[4], 32 capacity u64, 40 reserved[24]
 * </pre>
 */
public final class ZoneIoctl {
    public static final int BLKRESETZONE = 0x40101283; // _IOW(0x12, 131, struct blk_zone_range)
    public static final int BLKOPENZONE = 0x40101286; // _IOW(0x12, 134, struct blk_zone_range)
    public static final int BLKCLOSEZONE = 0x40101287; // _IOW(0x12, 135, struct blk_zone_range)
    public static final int BLKFINISHZONE = 0x40101288; // _IOW(0x12, 136, struct blk_zone_range)
    static final long BLKREPORTZONE = 0xc0101282L; // _IOWR(0x12, 130, struct blk_zone_report)
    static final long BLKGETZONESZ = 0x80041284L; // _IOR(0x12, 132, __u32)

    public static final int BLK_ZONE_TYPE_CONVENTIONAL = 1;
    public static final int BLK_ZONE_TYPE_SEQWRITE_REQ = 2;

    public static final int BLK_ZONE_COND_NOT_WP = 0;
    public static final int BLK_ZONE_COND_EMPTY = 1;
    public static final int BLK_ZONE_COND_IMP_OPEN = 2;
    public static final int BLK_ZONE_COND_EXP_OPEN = 3;
    public static final int BLK_ZONE_COND_CLOSED = 4;
    public static final int BLK_ZONE_COND_READONLY = 13;
    public static final int BLK_ZONE_COND_FULL = 14;
    public static final int BLK_ZONE_COND_OFFLINE = 15;

    public static final int REPORT_BYTES = 16;
    public static final int ZONE_BYTES = 64;

    /** In {@code flags} of a report: zones have a capacity; without it, theirs is their length. */
    static final int BLK_ZONE_REP_CAPACITY = 1;

    private static final int SECTOR_BYTES = 512;
    private static final int RANGE_BYTES = 16;
    private static final int NR_ZONES = 8;
    private static final int FLAGS = 12;
    private static final int LENGTH = 8;
    private static final int WP = 16;
    private static final int TYPE = 24;
    private static final int CONDITION = 25;
    private static final int CAPACITY = 32;

    private ZoneIoctl() {}

    /** The size of the device's zones in bytes; 0 when it has none. */
    public static long zoneBytes(int fd) {
        long value = NativeMemory.allocateZeroed(Long.BYTES);
        try {
            long result = LibC.ioctl(fd, BLKGETZONESZ, value);
            return result < 0 ? result : Integer.toUnsignedLong(NativeMemory.getInt(value)) * SECTOR_BYTES;
        } finally {
            NativeMemory.free(value);
        }
    }

    /** One of the four operations above on the zones of a range. */
    public static int operate(int fd, int request, long offsetBytes, long lengthBytes) {
        long range = NativeMemory.allocateZeroed(RANGE_BYTES);
        try {
            NativeMemory.putLong(range, offsetBytes / SECTOR_BYTES);
            NativeMemory.putLong(range + 8, lengthBytes / SECTOR_BYTES);
            return LibC.ioctl(fd, request, range);
        } finally {
            NativeMemory.free(range);
        }
    }

    /** Fills the report at {@code address} from the zone at {@code offsetBytes} on: the number of zones in it. */
    public static int report(int fd, long offsetBytes, long address, int zonesMax) {
        NativeMemory.putLong(address, offsetBytes / SECTOR_BYTES);
        NativeMemory.putInt(address + NR_ZONES, zonesMax);
        NativeMemory.putInt(address + FLAGS, 0);
        int result = LibC.ioctl(fd, BLKREPORTZONE, address);
        if (result < 0) {
            return result;
        }
        int count = Math.min(NativeMemory.getInt(address + NR_ZONES), zonesMax);
        if ((NativeMemory.getInt(address + FLAGS) & BLK_ZONE_REP_CAPACITY) == 0) {
            for (int i = 0; i < count; i++) {
                NativeMemory.putLong(zone(address, i) + CAPACITY, NativeMemory.getLong(zone(address, i) + LENGTH));
            }
        }
        return count;
    }

    /** Writes one zone of a report, in bytes; for zones that no device has. */
    public static void putZone(
            long report,
            int index,
            long startBytes,
            long lengthBytes,
            long capacityBytes,
            long pointerBytes,
            int type,
            int condition) {
        long zone = zone(report, index);
        NativeMemory.zero(zone, ZONE_BYTES);
        NativeMemory.putLong(zone, startBytes / SECTOR_BYTES);
        NativeMemory.putLong(zone + LENGTH, lengthBytes / SECTOR_BYTES);
        NativeMemory.putLong(zone + WP, pointerBytes / SECTOR_BYTES);
        NativeMemory.putByte(zone + TYPE, (byte) type);
        NativeMemory.putByte(zone + CONDITION, (byte) condition);
        NativeMemory.putLong(zone + CAPACITY, capacityBytes / SECTOR_BYTES);
    }

    public static long startBytes(long report, int index) {
        return NativeMemory.getLong(zone(report, index)) * SECTOR_BYTES;
    }

    public static long lengthBytes(long report, int index) {
        return NativeMemory.getLong(zone(report, index) + LENGTH) * SECTOR_BYTES;
    }

    public static long capacityBytes(long report, int index) {
        return NativeMemory.getLong(zone(report, index) + CAPACITY) * SECTOR_BYTES;
    }

    public static long pointerBytes(long report, int index) {
        return NativeMemory.getLong(zone(report, index) + WP) * SECTOR_BYTES;
    }

    public static int type(long report, int index) {
        return NativeMemory.getByte(zone(report, index) + TYPE);
    }

    public static int condition(long report, int index) {
        return NativeMemory.getByte(zone(report, index) + CONDITION);
    }

    private static long zone(long report, int index) {
        return report + REPORT_BYTES + (long) index * ZONE_BYTES;
    }
}

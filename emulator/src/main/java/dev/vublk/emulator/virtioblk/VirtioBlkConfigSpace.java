// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import static dev.vublk.emulator.virtioblk.VirtioBlkSpec.*;

import dev.vublk.blockdev.BlockLimits;
import dev.vublk.blockdev.ZonedLimits;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * The configuration space of a disk (virtio 1.2 section 5.2.4), little-endian. Control loop only.
 *
 * <p>Every field has a value that makes sense, offered or not: there are guests that divide by what they find.
 */
final class VirtioBlkConfigSpace {
    /** Largest buffer of one request; large enough that no guest cuts its buffers for our sake. */
    static final int SIZE_MAX_BYTES = 1 << 20;

    private VirtioBlkConfigSpace() {}

    static byte[] encode(BlockLimits limits, VirtioBlkSettings settings, boolean writeback) {
        byte[] bytes = new byte[CONFIG_BYTES];
        ByteBuffer config = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
        config.putLong(CONFIG_CAPACITY, limits.sizeBytes() / SECTOR_BYTES);
        config.putInt(CONFIG_SIZE_MAX, SIZE_MAX_BYTES);
        config.putInt(CONFIG_SEG_MAX, settings.segmentMax());
        DiskGeometry geometry =
                settings.geometry() == null ? DiskGeometry.ofSize(limits.sizeBytes()) : settings.geometry();
        config.putShort(CONFIG_CYLINDERS, (short) geometry.cylinders());
        config.put(CONFIG_HEADS, (byte) geometry.heads());
        config.put(CONFIG_SECTORS, (byte) geometry.sectors());
        int block = limits.logicalBlockBytes();
        config.putInt(CONFIG_BLK_SIZE, block);
        // Section 5.2.4: topology is in logical blocks; the physical block is a power of two of them.
        config.put(CONFIG_PHYSICAL_BLOCK_EXP, (byte)
                Integer.numberOfTrailingZeros(Math.max(1, limits.physicalBlockBytes() / block)));
        config.putShort(CONFIG_MIN_IO_SIZE, (short) Math.clamp(limits.minIoBytes() / block, 1, 0xffff));
        config.putInt(CONFIG_OPT_IO_SIZE, limits.optimalIoBytes() / block);
        config.put(CONFIG_WRITEBACK, (byte) (writeback ? 1 : 0));
        config.putShort(CONFIG_NUM_QUEUES, (short) settings.queueCountMax());
        config.putInt(CONFIG_MAX_DISCARD_SECTORS, maxSectors(limits.maxDiscardBytes(), block));
        config.putInt(CONFIG_MAX_DISCARD_SEG, settings.rangesMax());
        config.putInt(
                CONFIG_DISCARD_SECTOR_ALIGNMENT, Math.max(block, limits.discardGranularityBytes()) / SECTOR_BYTES);
        config.putInt(CONFIG_MAX_WRITE_ZEROES_SECTORS, maxSectors(limits.maxWriteZeroesBytes(), block));
        config.putInt(CONFIG_MAX_WRITE_ZEROES_SEG, settings.rangesMax());
        config.put(CONFIG_WRITE_ZEROES_MAY_UNMAP, (byte) (limits.supportsDiscard() && settings.discard() ? 1 : 0));
        long eraseAlignment = Math.max(block, secureEraseAlignmentBytes(limits));
        config.putInt(CONFIG_MAX_SECURE_ERASE_SECTORS, maxSectors(limits.maxWriteZeroesBytes(), eraseAlignment));
        config.putInt(CONFIG_MAX_SECURE_ERASE_SEG, settings.rangesMax());
        config.putInt(CONFIG_SECURE_ERASE_SECTOR_ALIGNMENT, (int) (eraseAlignment / SECTOR_BYTES));
        ZonedLimits zoned = limits.zoned();
        if (zoned != null) {
            config.putInt(CONFIG_ZONE_SECTORS, (int) (zoned.zoneBytes() / SECTOR_BYTES));
            config.putInt(CONFIG_MAX_OPEN_ZONES, zoned.openMax());
            config.putInt(CONFIG_MAX_ACTIVE_ZONES, zoned.activeMax());
            config.putInt(CONFIG_MAX_APPEND_SECTORS, (int) (maxAppendBytes(zoned, settings) / SECTOR_BYTES));
            config.putInt(CONFIG_WRITE_GRANULARITY, zoned.writeGranularityBytes());
            config.put(CONFIG_ZONED_MODEL, (byte) VIRTIO_BLK_Z_HM);
        }
        return bytes;
    }

    /** Section 5.2.6.2: with zones, a multiple of the zone's size. */
    static long secureEraseAlignmentBytes(BlockLimits limits) {
        ZonedLimits zoned = limits.zoned();
        return zoned == null ? limits.secureEraseAlignmentBytes() : zoned.zoneBytes();
    }

    /** Section 5.2.5.2: no more than a request can carry; a multiple of the write granularity. */
    static long maxAppendBytes(ZonedLimits zoned, VirtioBlkSettings settings) {
        long bytes = Math.min(zoned.maxAppendBytes(), (long) settings.segmentMax() * SIZE_MAX_BYTES);
        return bytes - bytes % zoned.writeGranularityBytes();
    }

    /** A limit as 32 bits of sectors, a multiple of the logical block and at least one. */
    static int maxSectors(long limitBytes, long block) {
        // At most 2^31 bytes less one block of sectors: guests that read it as signed survive.
        long bytes = Math.clamp(limitBytes, block, (long) Integer.MAX_VALUE * SECTOR_BYTES);
        return (int) (bytes / block * block / SECTOR_BYTES);
    }
}

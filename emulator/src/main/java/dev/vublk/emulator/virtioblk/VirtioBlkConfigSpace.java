// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import static dev.vublk.emulator.virtioblk.VirtioBlkSpec.*;

import dev.vublk.blockdev.BlockLimits;
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
        return bytes;
    }

    /** A limit as 32 bits of sectors, a multiple of the logical block and at least one. */
    static int maxSectors(long limitBytes, int block) {
        // At most 2^31 bytes less one block of sectors: guests that read it as signed survive.
        long bytes = Math.clamp(limitBytes, block, (long) Integer.MAX_VALUE * SECTOR_BYTES);
        return (int) (bytes / block * block / SECTOR_BYTES);
    }
}

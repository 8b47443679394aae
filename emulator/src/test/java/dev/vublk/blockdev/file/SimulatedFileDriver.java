// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockLimits;
import dev.vublk.blockdev.BlockOpenException;
import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.BlockOptions.CacheMode;
import dev.vublk.blockdev.BlockOptions.IoEngine;
import dev.vublk.blockdev.BlockOptions.Locking;
import dev.vublk.blockdev.ImageType;

/**
 * Opens the real file driver on a file that does not exist: its system calls go to the ring of each loop's context, which
 * a test simulates. Lives in the driver's package because it does by hand what opening a file does by measuring.
 */
public final class SimulatedFileDriver {
    private static final int NO_FD = -1;
    private static final int FILE_BLOCK_BYTES = 4096;
    private static final long RANGE_BYTES_MAX = 1L << 30;

    private SimulatedFileDriver() {}

    /**
     * Opens a disk of {@code sizeBytes}, all zeroes to the driver's knowledge.
     *
     * @param directBytes what O_DIRECT asks of offsets and lengths, where the cache mode has it
     * @param memoryBytes what it asks of addresses
     */
    public static BlockDriver open(long sizeBytes, CacheMode cacheMode, int directBytes, int memoryBytes) {
        BlockOptions options = BlockOptions.of("simulated")
                .withType(ImageType.RAW)
                .withCacheMode(cacheMode)
                .withEngine(IoEngine.IO_URING)
                .withLocking(Locking.OFF);
        FileGeometry geometry = new FileGeometry(
                false,
                sizeBytes,
                FileGeometry.SECTOR_BYTES,
                FILE_BLOCK_BYTES,
                FILE_BLOCK_BYTES,
                0,
                FILE_BLOCK_BYTES,
                true);
        DirectAlignment alignment =
                cacheMode.direct() ? new DirectAlignment(memoryBytes, directBytes) : DirectAlignment.NONE;
        BlockLimits limits = new BlockLimits(
                sizeBytes,
                false,
                FileGeometry.SECTOR_BYTES,
                FILE_BLOCK_BYTES,
                FILE_BLOCK_BYTES,
                0,
                true,
                FILE_BLOCK_BYTES,
                RANGE_BYTES_MAX,
                true,
                RANGE_BYTES_MAX,
                true,
                cacheMode.writeback());
        try {
            DiskExtent extent = DiskExtent.of(options, sizeBytes, false, FILE_BLOCK_BYTES);
            return new FileBlockDriver(new SharedFile(NO_FD, options, geometry, alignment, limits, extent, null, null));
        } catch (BlockOpenException e) {
            throw new IllegalArgumentException(e);
        }
    }
}

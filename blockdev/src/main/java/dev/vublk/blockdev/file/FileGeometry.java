// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import dev.vublk.blockdev.linux.BlockDeviceIoctl;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.FileStatus;
import dev.vublk.blockdev.linux.FileStatus.Kind;
import java.io.IOException;

/**
 * Sizes and units of an open file or block device, as the host has them. Setup code, any thread.
 *
 * @param blockDevice whether it is a block device and not a regular file
 * @param sizeBytes its exact size, for a file not necessarily a multiple of anything
 * @param logicalBlockBytes the device's sector; 512 for a file, which images partitioned anywhere expect
 * @param physicalBlockBytes the device's physical sector; the file system's block for a file
 * @param minIoBytes preferred granularity
 * @param optimalIoBytes preferred size of large requests, 0 when unknown
 * @param discardGranularityBytes unit of discards, at least a logical block
 * @param canDiscard whether a discard may have an effect (files: until the file system says no)
 */
record FileGeometry(
        boolean blockDevice,
        long sizeBytes,
        int logicalBlockBytes,
        int physicalBlockBytes,
        int minIoBytes,
        int optimalIoBytes,
        int discardGranularityBytes,
        boolean canDiscard) {

    static final int SECTOR_BYTES = 512;
    private static final int MAX_BLOCK_BYTES = 65536;

    static FileGeometry of(int fd, FileStatus status) throws IOException {
        return status.kind() == Kind.BLOCK_DEVICE ? ofDevice(fd, status) : ofFile(status);
    }

    private static FileGeometry ofFile(FileStatus status) {
        int blockBytes = blockSize(status.blockBytes(), SECTOR_BYTES);
        return new FileGeometry(false, status.sizeBytes(), SECTOR_BYTES, blockBytes, blockBytes, 0, blockBytes, true);
    }

    private static FileGeometry ofDevice(int fd, FileStatus status) throws IOException {
        long sizeBytes = BlockDeviceIoctl.sizeBytes(fd);
        if (sizeBytes < 0) {
            throw new IOException(Errno.describe((int) sizeBytes));
        }
        QueueLimits queue = QueueLimits.of(status.device());
        int logical = blockSize(BlockDeviceIoctl.logicalBlockBytes(fd), SECTOR_BYTES);
        int physical = blockSize(BlockDeviceIoctl.physicalBlockBytes(fd), logical);
        return new FileGeometry(
                true,
                sizeBytes,
                logical,
                physical,
                Math.max(logical, BlockDeviceIoctl.minIoBytes(fd)),
                Math.max(0, BlockDeviceIoctl.optimalIoBytes(fd)),
                Math.clamp(queue.discardGranularityBytes(), logical, 1 << 30),
                queue.discardMaxBytes() > 0);
    }

    /** A block size as reported, made a power of two between {@code leastBytes} and 64 KiB whatever was reported. */
    private static int blockSize(int bytes, int leastBytes) {
        return Math.clamp(Integer.highestOneBit(Math.max(bytes, 1)), leastBytes, MAX_BLOCK_BYTES);
    }
}

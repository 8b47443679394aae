// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import org.jspecify.annotations.Nullable;

/**
 * One channel's way to the disk's {@link RangeLock}: takes part only where O_DIRECT's unit is larger than a sector, so
 * that ordinary disks pay one comparison. Runs on its loop.
 */
final class BlockGuard {
    private final @Nullable RangeLock ranges;
    private final LoopQueue queue;
    private final long blockBytes;

    BlockGuard(SharedFile file, LoopQueue queue) {
        this.ranges = file.guardsRanges() ? file.ranges : null;
        this.queue = queue;
        this.blockBytes = file.alignment.offsetBytes();
    }

    /** Whether the range begins or ends inside a block. */
    boolean isPartial(long offsetBytes, long lengthBytes) {
        return ((offsetBytes | lengthBytes) & (blockBytes - 1)) != 0;
    }

    /**
     * Waits until the blocks of the range may be changed: together with other whole blocks, but alone when blocks are
     * covered in part. Null where nothing needs guarding.
     */
    RangeLock.@Nullable Range acquire(long offsetBytes, long lengthBytes) {
        if (ranges == null) {
            return null;
        }
        long start = offsetBytes & -blockBytes;
        long end = (offsetBytes + lengthBytes + blockBytes - 1) & -blockBytes;
        return ranges.acquire(queue, start, end, isPartial(offsetBytes, lengthBytes));
    }

    void release(RangeLock.@Nullable Range range) {
        if (ranges != null && range != null) {
            ranges.release(range);
        }
    }
}

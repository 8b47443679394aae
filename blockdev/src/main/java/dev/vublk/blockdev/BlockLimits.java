// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev;

import org.jspecify.annotations.Nullable;

/**
 * What a disk can do and wants. All sizes in bytes; no field that somebody divides by is ever zero.
 *
 * @param sizeBytes the disk's size, a multiple of 512
 * @param readOnly whether writes, discards and write-zeroes fail with {@code -EROFS}
 * @param logicalBlockBytes smallest unit that the disk addresses well (512..64 KiB, a power of two)
 * @param physicalBlockBytes smallest unit that it writes without read-modify-write (>= logical, a power of two)
 * @param minIoBytes preferred granularity of requests, at least one logical block
 * @param optimalIoBytes preferred size of large requests, 0 when unknown
 * @param supportsDiscard whether {@link BlockChannel#discard} can give space back
 * @param discardGranularityBytes alignment that discards should have, at least one logical block
 * @param maxDiscardBytes longest range of one discard
 * @param supportsWriteZeroes whether {@link BlockChannel#writeZeroes} is better than writing zeroes by hand
 * @param maxWriteZeroesBytes longest range of one write-zeroes
 * @param writeCache whether completed writes may need a {@link BlockChannel#flush} to be stable
 * @param initialWriteback whether the disk starts in write-back mode (cache modes none, writeback, unsafe) or
 *     write-through (writethrough, directsync)
 * @param secureEraseAlignmentBytes unit of {@link BlockChannel#secureErase}, at least one logical block; 0 when the disk
 *     cannot erase
 * @param tellsLifetime whether {@link BlockChannel#lifetime} has an answer
 * @param zoned what a host-managed zoned disk asks of its users; null for every ordinary disk
 */
public record BlockLimits(
        long sizeBytes,
        boolean readOnly,
        int logicalBlockBytes,
        int physicalBlockBytes,
        int minIoBytes,
        int optimalIoBytes,
        boolean supportsDiscard,
        int discardGranularityBytes,
        long maxDiscardBytes,
        boolean supportsWriteZeroes,
        long maxWriteZeroesBytes,
        boolean writeCache,
        boolean initialWriteback,
        int secureEraseAlignmentBytes,
        boolean tellsLifetime,
        @Nullable ZonedLimits zoned) {

    /** An ordinary disk that cannot erase securely and knows nothing of its wear. */
    public BlockLimits(
            long sizeBytes,
            boolean readOnly,
            int logicalBlockBytes,
            int physicalBlockBytes,
            int minIoBytes,
            int optimalIoBytes,
            boolean supportsDiscard,
            int discardGranularityBytes,
            long maxDiscardBytes,
            boolean supportsWriteZeroes,
            long maxWriteZeroesBytes,
            boolean writeCache,
            boolean initialWriteback) {
        this(
                sizeBytes,
                readOnly,
                logicalBlockBytes,
                physicalBlockBytes,
                minIoBytes,
                optimalIoBytes,
                supportsDiscard,
                discardGranularityBytes,
                maxDiscardBytes,
                supportsWriteZeroes,
                maxWriteZeroesBytes,
                writeCache,
                initialWriteback,
                0,
                false,
                null);
    }

    /** The same disk, grown. */
    public BlockLimits withSizeBytes(long newSizeBytes) {
        return new BlockLimits(
                newSizeBytes,
                readOnly,
                logicalBlockBytes,
                physicalBlockBytes,
                minIoBytes,
                optimalIoBytes,
                supportsDiscard,
                discardGranularityBytes,
                maxDiscardBytes,
                supportsWriteZeroes,
                maxWriteZeroesBytes,
                writeCache,
                initialWriteback,
                secureEraseAlignmentBytes,
                tellsLifetime,
                zoned);
    }
}

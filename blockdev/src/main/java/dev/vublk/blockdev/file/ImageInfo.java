// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import dev.vublk.blockdev.DiskLifetime;
import org.jspecify.annotations.Nullable;

/**
 * What is to be known of an image without serving it.
 *
 * @param image its path
 * @param blockDevice whether it is a host block device and not a regular file
 * @param sizeBytes its exact size; a size that is no multiple of 512 can be served read-only
 * @param allocatedBytes space that a file takes; 0 for a block device
 * @param logicalBlockBytes the disk's logical block when nothing else is asked for
 * @param physicalBlockBytes the physical block
 * @param minIoBytes preferred granularity of requests
 * @param optimalIoBytes preferred size of large requests, 0 when unknown
 * @param canDiscard whether the device has discards; for a file, whether its file system may have
 * @param discardGranularityBytes unit of discards
 * @param canDirect whether O_DIRECT works, for {@code cache=none} and {@code cache=directsync}
 * @param directMemoryBytes alignment that O_DIRECT wants of memory, 0 without O_DIRECT
 * @param directOffsetBytes alignment that O_DIRECT wants of offsets and lengths, 0 without O_DIRECT
 * @param zoneBytes size of a host-managed device's zones, 0 for every other disk
 * @param lifetime how worn the device says it is; null when it does not tell
 * @param format what the content looks like; anything but {@link ImageFormat#RAW} deserves a warning
 */
public record ImageInfo(
        String image,
        boolean blockDevice,
        long sizeBytes,
        long allocatedBytes,
        int logicalBlockBytes,
        int physicalBlockBytes,
        int minIoBytes,
        int optimalIoBytes,
        boolean canDiscard,
        int discardGranularityBytes,
        boolean canDirect,
        int directMemoryBytes,
        int directOffsetBytes,
        long zoneBytes,
        @Nullable DiskLifetime lifetime,
        ImageFormat format) {}

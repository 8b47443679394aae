// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * What sysfs tells of a block device's queue. Setup code, any thread.
 *
 * @param discardGranularityBytes unit of discards, 0 when the device has none
 * @param discardMaxBytes longest discard, 0 when the device has none
 * @param hostManaged whether the device is a host-managed zoned one
 * @param openZonesMax how many zones may be open, 0 for any number
 * @param activeZonesMax how many zones may be open or closed, 0 for any number
 * @param zoneWriteGranularityBytes unit of writes to sequential zones, 0 when the kernel does not tell
 */
public record QueueLimits(
        long discardGranularityBytes,
        long discardMaxBytes,
        boolean hostManaged,
        int openZonesMax,
        int activeZonesMax,
        int zoneWriteGranularityBytes) {

    /** Of the device {@code major:minor}. A partition has no queue of its own; the disk's is one directory up. */
    public static QueueLimits of(String device) {
        Path directory = Path.of("/sys/dev/block", device);
        Path own = directory.resolve("queue");
        // The link is resolved by the kernel on the way, so ".." is the disk and not /sys/dev/block.
        Path queue = Files.isDirectory(own) ? own : directory.resolve("../queue");
        return new QueueLimits(
                value(queue.resolve("discard_granularity")),
                value(queue.resolve("discard_max_bytes")),
                text(queue.resolve("zoned")).equals("host-managed"),
                (int) value(queue.resolve("max_open_zones")),
                (int) value(queue.resolve("max_active_zones")),
                (int) value(queue.resolve("zone_write_granularity")));
    }

    private static long value(Path file) {
        try {
            return Long.parseLong(text(file));
        } catch (NumberFormatException absent) {
            return 0; // an unusual device or a container without sysfs: as good as not supported
        }
    }

    private static String text(Path file) {
        try {
            return Files.readString(file).strip();
        } catch (IOException absent) {
            return "";
        }
    }
}

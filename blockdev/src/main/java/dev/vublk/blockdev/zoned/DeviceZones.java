// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.zoned;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockLimits;
import dev.vublk.blockdev.BlockOpenException;
import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.IoContext;
import dev.vublk.blockdev.ZonedLimits;
import dev.vublk.blockdev.file.FileBlockDriver;
import dev.vublk.blockdev.file.QueueLimits;
import dev.vublk.blockdev.file.RangeLock;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.FileStatus;
import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.blockdev.linux.ZoneIoctl;
import java.io.IOException;

/** A host-managed zoned block device. Thread-safe. */
public final class DeviceZones implements BlockDriver {
    /** Longest append: a write like any other, so arbitrary. */
    private static final long MAX_APPEND_BYTES = 16 << 20;

    private static final int ZONES_AT_ONCE = 256;

    private final FileBlockDriver device;
    private final BlockLimits limits;
    private final ZoneTable table;
    private final RangeLock zoneLock = new RangeLock();

    private DeviceZones(FileBlockDriver device, BlockLimits limits, ZoneTable table) {
        this.device = device;
        this.limits = limits;
        this.table = table;
    }

    /** The device as one with zones, when it is a host-managed one; otherwise as it is. */
    public static BlockDriver of(FileBlockDriver device, BlockOptions options) throws BlockOpenException {
        try {
            FileStatus status = FileStatus.of(device.descriptor());
            if (status.kind() != FileStatus.Kind.BLOCK_DEVICE) {
                return device;
            }
            QueueLimits queue = QueueLimits.of(status.device());
            return queue.hostManaged() ? open(device, options, queue) : device;
        } catch (BlockOpenException e) {
            device.close();
            throw e;
        } catch (IOException e) {
            device.close();
            throw new BlockOpenException(options.image() + ": cannot be measured: " + e.getMessage());
        }
    }

    private static DeviceZones open(FileBlockDriver device, BlockOptions options, QueueLimits queue)
            throws BlockOpenException {
        if (!options.cacheMode().direct() && !options.readOnly()) {
            // The page cache would write to zones in an order of its own.
            throw new BlockOpenException(options.image() + ": is a host-managed zoned device: use cache=none");
        }
        if (options.shareRw() && !options.readOnly()) {
            throw new BlockOpenException(
                    options.image() + ": share-rw=on: others who write would move the zones' write pointers");
        }
        if (options.locking() == BlockOptions.Locking.DEFERRED) {
            throw new BlockOpenException(options.image()
                    + ": locking=deferred: a guest cannot bring zones along, which are read at the start");
        }
        int fd = device.descriptor();
        BlockLimits plain = device.limits();
        long zoneBytes = ZoneIoctl.zoneBytes(fd);
        if (zoneBytes <= 0) {
            throw new BlockOpenException(options.image() + ": its zone size cannot be read"
                    + (zoneBytes < 0 ? ": " + Errno.describe((int) zoneBytes) : ""));
        }
        int granularity = Math.max(plain.logicalBlockBytes(), queue.zoneWriteGranularityBytes());
        int zoneCount = Math.toIntExact(Math.ceilDiv(plain.sizeBytes(), zoneBytes));
        long[] capacities = new long[zoneCount];
        long[] words = new long[zoneCount];
        int result = readZones(fd, zoneBytes, capacities, words);
        if (result < 0) {
            throw new BlockOpenException(options.image() + ": its zones cannot be read: " + Errno.describe(result));
        }
        ZoneTable table =
                new ZoneTable(plain.sizeBytes(), zoneBytes, granularity, 0, 0, capacities, words, (zone, word) -> {});
        ZonedLimits zoned = new ZonedLimits(
                zoneBytes,
                queue.openZonesMax(),
                queue.activeZonesMax(),
                Math.min(zoneBytes, MAX_APPEND_BYTES),
                granularity);
        return new DeviceZones(device, EmulatedZones.withZones(plain, zoned, 0), table);
    }

    /** Fills both arrays by reports: 0 or a negative errno. */
    private static int readZones(int fd, long zoneBytes, long[] capacities, long[] words) {
        long report = NativeMemory.allocateZeroed(ZoneIoctl.REPORT_BYTES + (long) ZONES_AT_ONCE * ZoneIoctl.ZONE_BYTES);
        try {
            for (int zone = 0; zone < words.length; ) {
                int found = ZoneIoctl.report(fd, zone * zoneBytes, report, ZONES_AT_ONCE);
                if (found <= 0) {
                    return found == 0 ? -Errno.EIO : found;
                }
                for (int i = 0; i < found && zone < words.length; i++, zone++) {
                    boolean conventional = ZoneIoctl.type(report, i) == ZoneIoctl.BLK_ZONE_TYPE_CONVENTIONAL;
                    capacities[zone] = conventional ? 0 : ZoneIoctl.capacityBytes(report, i);
                    words[zone] = word(report, i);
                }
            }
            return 0;
        } finally {
            NativeMemory.free(report);
        }
    }

    /** Asks the device how a zone stands: 0 or a negative errno. Blocking; the zone is the caller's. */
    static int refresh(int fd, ZoneTable table, int zone, long startBytes) {
        long report = NativeMemory.allocateZeroed(ZoneIoctl.REPORT_BYTES + ZoneIoctl.ZONE_BYTES);
        try {
            int found = ZoneIoctl.report(fd, startBytes, report, 1);
            if (found == 1) {
                table.refresh(zone, word(report, 0));
            }
            return Math.min(found, 0);
        } finally {
            NativeMemory.free(report);
        }
    }

    /** The write pointer means something in a zone that can be written, and nowhere else. */
    static long word(long report, int index) {
        int condition = ZoneIoctl.condition(report, index);
        boolean hasPointer = condition == ZoneIoctl.BLK_ZONE_COND_EMPTY || ZoneTable.isActive(condition);
        long written = hasPointer ? ZoneIoctl.pointerBytes(report, index) - ZoneIoctl.startBytes(report, index) : 0;
        return ZoneTable.word(written, condition);
    }

    @Override
    public BlockLimits limits() {
        return limits;
    }

    @Override
    public BlockChannel openChannel(IoContext context) {
        return new DeviceZonesChannel(
                context, device.openChannel(context), table, zoneLock, device.descriptor(), limits.readOnly());
    }

    @Override
    public void close() {
        device.close();
    }
}

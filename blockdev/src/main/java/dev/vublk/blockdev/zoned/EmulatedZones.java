// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.zoned;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockLimits;
import dev.vublk.blockdev.BlockOpenException;
import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.IoContext;
import dev.vublk.blockdev.ZoneOptions;
import dev.vublk.blockdev.ZonedLimits;
import dev.vublk.blockdev.file.FileBlockDriver;
import dev.vublk.blockdev.file.FlushGate;
import dev.vublk.blockdev.file.RangeLock;
import java.nio.file.Path;
import java.util.Arrays;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;

/** A host-managed zoned disk, emulated on a raw image and a file that keeps its zones' states. Thread-safe. */
public final class EmulatedZones implements BlockDriver {
    private static final Logger LOG = LogManager.getLogger(EmulatedZones.class);

    /** Bounds the memory and the time that a flush takes to look at all zones; otherwise arbitrary. */
    private static final int ZONES_MAX = 1 << 17;

    /** {@code zone_sectors} has 32 bits; the smaller limit keeps sums of sectors in an int. */
    private static final long ZONE_BYTES_MAX = 1L << 39;

    private static final long ZONE_BYTES_MIN = 64 << 10;

    private final FileBlockDriver image;
    private final BlockOptions options;
    private final BlockLimits limits;
    private final ZoneFile zoneFile;
    private final ZoneTable table;
    private final RangeLock zoneLock = new RangeLock();
    private final FlushGate flushes;

    private EmulatedZones(
            FileBlockDriver image, BlockOptions options, BlockLimits limits, ZoneFile zoneFile, ZoneTable table) {
        this.image = image;
        this.options = options;
        this.limits = limits;
        this.zoneFile = zoneFile;
        this.table = table;
        flushes = new FlushGate(options.image());
    }

    /** Opens the image and the zones' metadata; makes the latter, with empty zones, when it does not exist. */
    public static EmulatedZones open(BlockOptions options, ZoneOptions zones) throws BlockOpenException {
        if (options.shareRw()) {
            throw refused(options, "share-rw=on: the zones of an image that others write cannot be kept");
        }
        if (options.locking() == BlockOptions.Locking.DEFERRED) {
            throw refused(options, "locking=deferred: a guest cannot bring zones along, which are read at the start");
        }
        FileBlockDriver image = FileBlockDriver.open(options);
        try {
            return open(image, options, zones);
        } catch (Throwable failure) {
            image.close();
            throw failure;
        }
    }

    private static EmulatedZones open(FileBlockDriver image, BlockOptions options, ZoneOptions zones)
            throws BlockOpenException {
        BlockLimits plain = image.limits();
        ZoneFile.Layout layout = layout(options, zones, plain);
        ZoneFile zoneFile = ZoneFile.open(Path.of(zones.metadata()), layout, options.readOnly());
        long[] capacities = new long[layout.zoneCount()];
        for (int zone = zones.conventionalCount(); zone < capacities.length; zone++) {
            long lengthBytes = Math.min(layout.zoneBytes(), plain.sizeBytes() - zone * layout.zoneBytes());
            capacities[zone] = Math.min(layout.capacityBytes(), lengthBytes);
        }
        ZoneTable table = new ZoneTable(
                plain.sizeBytes(),
                layout.zoneBytes(),
                plain.logicalBlockBytes(),
                zones.openMax(),
                zones.activeMax(),
                capacities,
                zoneFile.words(),
                zoneFile::keepNow);
        ZonedLimits zoned = new ZonedLimits(
                layout.zoneBytes(),
                zones.openMax(),
                zones.activeMax(),
                Arrays.stream(capacities).filter(bytes -> bytes > 0).max().orElse(0),
                plain.logicalBlockBytes());
        return new EmulatedZones(
                image, options, withZones(plain, zoned, plain.secureEraseAlignmentBytes()), zoneFile, table);
    }

    private static ZoneFile.Layout layout(BlockOptions options, ZoneOptions zones, BlockLimits plain)
            throws BlockOpenException {
        long zoneBytes = zones.zoneBytes();
        if (Long.bitCount(zoneBytes) != 1 || zoneBytes < ZONE_BYTES_MIN || zoneBytes > ZONE_BYTES_MAX) {
            throw refused(options, "zone-size: " + zoneBytes + " is no power of two from 64K to 512G");
        }
        long capacityBytes = zones.capacityBytes() == 0 ? zoneBytes : zones.capacityBytes();
        if (capacityBytes > zoneBytes || capacityBytes % plain.logicalBlockBytes() != 0) {
            throw refused(
                    options,
                    "zone-capacity: " + capacityBytes + " is no multiple of the block size up to the zone's size");
        }
        long zoneCount = Math.ceilDiv(plain.sizeBytes(), zoneBytes);
        if (zoneCount > ZONES_MAX) {
            throw refused(
                    options,
                    "zone-size: would make " + zoneCount + " zones; at most " + ZONES_MAX
                            + " are possible, so make them larger");
        }
        if (zones.conventionalCount() >= zoneCount) {
            throw refused(
                    options,
                    "conventional-zones: the disk has " + zoneCount
                            + " zones, and at least one must be a sequential one");
        }
        if (zones.openMax() > zones.activeMax() && zones.activeMax() > 0) {
            throw refused(
                    options,
                    "max-open-zones: open zones are active ones, so at most max-active-zones (" + zones.activeMax()
                            + ")");
        }
        return new ZoneFile.Layout(
                plain.sizeBytes(), zoneBytes, capacityBytes, zones.conventionalCount(), (int) zoneCount);
    }

    private static BlockOpenException refused(BlockOptions options, String why) {
        return new BlockOpenException(options.image() + ": " + why);
    }

    /** A disk's limits when it is divided into zones: no discards and no zeroes, which would be writes anywhere. */
    static BlockLimits withZones(BlockLimits plain, ZonedLimits zoned, int secureEraseAlignmentBytes) {
        return new BlockLimits(
                plain.sizeBytes(),
                plain.readOnly(),
                plain.logicalBlockBytes(),
                plain.physicalBlockBytes(),
                plain.minIoBytes(),
                plain.optimalIoBytes(),
                false,
                plain.discardGranularityBytes(),
                plain.maxDiscardBytes(),
                false,
                plain.maxWriteZeroesBytes(),
                plain.writeCache(),
                plain.initialWriteback(),
                secureEraseAlignmentBytes,
                plain.tellsLifetime(),
                zoned);
    }

    @Override
    public BlockLimits limits() {
        return limits;
    }

    @Override
    public BlockChannel openChannel(IoContext context) {
        return new EmulatedZonesChannel(
                context,
                image.openChannel(context),
                table,
                zoneLock,
                zoneFile,
                flushes,
                limits.readOnly(),
                options.cacheMode().noFlush());
    }

    /** Keeps the write pointers for good, too: after an orderly end a power cut takes nothing back. */
    @Override
    public void close() {
        if (!limits.readOnly() && flushes.failure() == 0) {
            zoneFile.takePointers(table);
            int result = image.syncBlocking();
            if (result == 0) {
                result = zoneFile.commit();
            }
            if (result < 0) {
                LOG.error("{}: the zones' write pointers could not be kept (errno {})", options.image(), -result);
            }
        }
        zoneFile.close();
        image.close();
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev;

import dev.vublk.blockdev.file.FileBlockDriver;
import dev.vublk.blockdev.file.FileProbe;
import dev.vublk.blockdev.file.ImageFormat;
import dev.vublk.blockdev.nullblk.NullBlockDriver;
import dev.vublk.blockdev.qcow2.Qcow2Driver;
import dev.vublk.blockdev.zoned.DeviceZones;
import dev.vublk.blockdev.zoned.EmulatedZones;

/**
 * The only list of drivers: which one opens an image is decided by the image's name and by its type. Any thread.
 *
 * <p>Where no type is given, the image's first bytes tell, as in QEMU. So that a guest that writes another format's magic into its
 * raw disk does not get that format (and with it, for example, a backing file of its choice) at the next start, such a write to
 * an image that was probed fails. An image whose type is given is neither probed nor restricted.
 */
public final class BlockDrivers {
    private BlockDrivers() {}

    /**
     * Opens {@code null:SIZE}, or else a regular file or host block device by its path: as a qcow2 image, or raw, with emulated
     * zones where they are asked for, with its own where it is a host-managed device.
     */
    public static BlockDriver open(BlockOptions options) throws BlockOpenException {
        checkBlockSize(options);
        ZoneOptions zones = options.zones();
        if (options.image().startsWith(NullBlockDriver.PREFIX)) {
            if (zones != null) {
                throw new BlockOpenException(options.image() + ": zone-size: a disk that stores nothing has no zones");
            }
            return NullBlockDriver.open(options);
        }
        ImageType type = zones == null ? typeOf(options) : ImageType.RAW;
        if (type == ImageType.QCOW2) {
            return Qcow2Driver.open(options);
        }
        if (options.snapshot() != null) {
            throw new BlockOpenException(options.image() + ": snapshot: a raw image has none");
        }
        if (zones != null) {
            if (options.type() == ImageType.QCOW2) {
                throw new BlockOpenException(options.image() + ": zone-size: zones are emulated on raw images only");
            }
            return EmulatedZones.open(options.withType(ImageType.RAW), zones);
        }
        return DeviceZones.of(FileBlockDriver.open(options), options);
    }

    private static ImageType typeOf(BlockOptions options) throws BlockOpenException {
        if (options.type() != ImageType.AUTO) {
            return options.type();
        }
        ImageFormat format = FileProbe.format(options.image());
        if (format != null && format.isForeign()) {
            throw new BlockOpenException(options.image() + ": looks like " + format.label()
                    + ", which is not supported; format=raw serves the file as it is");
        }
        return format == ImageFormat.QCOW2 ? ImageType.QCOW2 : ImageType.RAW;
    }

    private static void checkBlockSize(BlockOptions options) throws BlockOpenException {
        int bytes = options.logicalBlockBytes();
        if (bytes != 0 && (bytes < 512 || bytes > 65536 || Integer.bitCount(bytes) != 1)) {
            throw new BlockOpenException(options.image() + ": logical block size " + bytes
                    + " is not a power of two between 512 and 65536 bytes");
        }
    }
}

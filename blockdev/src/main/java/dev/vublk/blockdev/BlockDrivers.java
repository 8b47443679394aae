// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev;

import dev.vublk.blockdev.file.FileBlockDriver;
import dev.vublk.blockdev.nullblk.NullBlockDriver;
import dev.vublk.blockdev.zoned.DeviceZones;
import dev.vublk.blockdev.zoned.EmulatedZones;

/**
 * The only list of drivers: which one opens an image is decided by the image's name alone. Any thread.
 *
 * <p>Content is never probed: a guest that wrote another format's magic into its raw disk must not get that format (and
 * with it, for example, a backing file of its choice) at the next start.
 */
public final class BlockDrivers {
    private BlockDrivers() {}

    /**
     * Opens {@code null:SIZE}, or else a regular file or host block device by its path: with emulated zones where they are
     * asked for, with its own where it is a host-managed device.
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
        if (zones != null) {
            return EmulatedZones.open(options, zones);
        }
        return DeviceZones.of(FileBlockDriver.open(options), options);
    }

    private static void checkBlockSize(BlockOptions options) throws BlockOpenException {
        int bytes = options.logicalBlockBytes();
        if (bytes != 0 && (bytes < 512 || bytes > 65536 || Integer.bitCount(bytes) != 1)) {
            throw new BlockOpenException(options.image() + ": logical block size " + bytes
                    + " is not a power of two between 512 and 65536 bytes");
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import dev.vublk.blockdev.DiskLifetime;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.blockdev.linux.NvmeIoctl;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * Asks a block device how worn it is: NVMe by its health log, eMMC by what sysfs shows of it. Thread-safe; asking may
 * block.
 *
 * <p>What was learned holds for a second, so that a guest that asks all the time does not keep the device busy.
 */
final class DeviceHealth {
    private static final long FRESH_NS = TimeUnit.SECONDS.toNanos(1);

    private final Path directory;
    private final String name;
    private final int fd;
    private long askedNs;
    private long answer = -Errno.EOPNOTSUPP;
    private boolean asked;

    /** Of the device {@code major:minor} that is open as {@code fd}. */
    DeviceHealth(int fd, String device) {
        this(fd, Path.of("/sys/dev/block", device));
    }

    /**
     * @param directory the device's directory in sysfs
     */
    DeviceHealth(int fd, Path directory) {
        this.fd = fd;
        this.directory = directory;
        this.name = deviceName(directory);
    }

    /** Something that could be asked, or null: an ordinary file, or a device that tells nothing. */
    static @Nullable DeviceHealth of(int fd, boolean blockDevice, String device) {
        if (!blockDevice) {
            return null;
        }
        DeviceHealth health = new DeviceHealth(fd, device);
        return health.lifetime() < 0 ? null : health;
    }

    /** {@link DiskLifetime#packed}, or a negative errno. */
    synchronized long lifetime() {
        long nowNs = System.nanoTime();
        if (!asked || nowNs - askedNs > FRESH_NS) {
            asked = true;
            askedNs = nowNs;
            answer = ask();
        }
        return answer;
    }

    private long ask() {
        // By name, because the ioctl's number may mean something else to another driver.
        DiskLifetime lifetime = name.startsWith("nvme") ? ofNvme() : ofEmmc(directory);
        return lifetime == null || lifetime.equals(DiskLifetime.UNKNOWN) ? -Errno.EOPNOTSUPP : lifetime.packed();
    }

    private @Nullable DiskLifetime ofNvme() {
        long log = NativeMemory.allocateZeroed(NvmeIoctl.HEALTH_LOG_BYTES);
        try {
            return NvmeIoctl.readHealthLog(fd, log) == 0 ? ofNvmeLog(log) : null;
        } finally {
            NativeMemory.free(log);
        }
    }

    /**
     * From the health log (NVM Express base specification, "SMART / Health Information"): byte 0 critical warnings (bit 0:
     * spare below its threshold), 3 available spare in %, 5 percentage used, which may exceed 100. The device knows one
     * wear for all its cells, so both types get it.
     */
    static DiskLifetime ofNvmeLog(long log) {
        boolean spareLow = (NativeMemory.getByte(log) & 1) != 0;
        int spareUsed = 100 - Math.min(100, NativeMemory.getByte(log + 3) & 0xff);
        int percentageUsed = NativeMemory.getByte(log + 5) & 0xff;
        int preEndOfLife = spareLow || spareUsed >= 90 ? 3 : spareUsed >= 80 ? 2 : 1;
        int used = Math.clamp(Math.ceilDiv(percentageUsed, 10), 1, DiskLifetime.USED_MAX);
        return DiskLifetime.of(preEndOfLife, used, used);
    }

    /** From an eMMC's directory in sysfs, or that of a partition of it; null when it is none. */
    static @Nullable DiskLifetime ofEmmc(Path directory) {
        DiskLifetime own = ofEmmcDevice(directory.resolve("device"));
        // A partition's device is the disk's, one directory up; the link is resolved by the kernel on the way.
        return own == null ? ofEmmcDevice(directory.resolve("../device")) : own;
    }

    /** From {@code life_time} ("0x01 0x02") and {@code pre_eol_info} ("0x01"). */
    private static @Nullable DiskLifetime ofEmmcDevice(Path device) {
        try {
            String[] used =
                    Files.readString(device.resolve("life_time")).strip().split("\\s+", -1);
            String preEndOfLife =
                    Files.readString(device.resolve("pre_eol_info")).strip();
            return DiskLifetime.of(
                    Integer.decode(preEndOfLife), Integer.decode(used[0]), Integer.decode(used[used.length - 1]));
        } catch (IOException | NumberFormatException noEmmc) {
            return null;
        }
    }

    /** The kernel's name of the device, from {@code DEVNAME=nvme0n1} in uevent; empty when it cannot be told. */
    private static String deviceName(Path directory) {
        try {
            for (String line : Files.readAllLines(directory.resolve("uevent"))) {
                if (line.startsWith("DEVNAME=")) {
                    return line.substring("DEVNAME=".length());
                }
            }
        } catch (IOException noSysfs) {
            return "";
        }
        return "";
    }
}

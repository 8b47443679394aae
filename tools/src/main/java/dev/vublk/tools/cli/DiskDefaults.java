// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import dev.vublk.blockdev.BlockOptions.CacheMode;
import dev.vublk.blockdev.BlockOptions.IoEngine;
import dev.vublk.blockdev.BlockOptions.Locking;
import dev.vublk.blockdev.DiskLifetime;
import dev.vublk.blockdev.ImageType;
import dev.vublk.emulator.virtioblk.DiskGeometry;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Option;
import picocli.CommandLine.TypeConversionException;

/** What holds for every disk that does not say otherwise: options of the command, overridden by keys of {@code --disk}. */
final class DiskDefaults {
    @Option(names = "--queues", paramLabel = "N", description = "Queues offered to a guest, 1 to 256 (default 64).")
    int queues = 64;

    @Option(
            names = "--queue-size",
            paramLabel = "N",
            description = "Largest queue accepted, a power of two up to 32768 (default 1024).")
    int queueSize = 1024;

    @Option(
            names = "--packed",
            paramLabel = "on|off",
            converter = OnOffConverter.class,
            description = "Whether packed rings are offered besides split ones; the guest chooses (default on).")
    OnOff packed = OnOff.ON;

    @Option(
            names = {"-r", "--read-only"},
            description = "Guests may only read.")
    boolean readOnly;

    @Option(
            names = "--format",
            paramLabel = "raw|qcow2|auto",
            converter = FormatConverter.class,
            description =
                    "What the image's file is: the disk itself, or QEMU's qcow2; auto (default) looks at its first bytes, and then"
                            + " lets no guest write others there that would make a raw disk look like another format.")
    ImageType format = ImageType.AUTO;

    @Option(
            names = "--snapshot",
            paramLabel = "ID|NAME",
            description = "Serve an internal snapshot of a qcow2 image; needs --read-only.")
    @Nullable
    String snapshot;

    @Option(
            names = "--l2-cache-size",
            paramLabel = "SIZE",
            converter = SizeConverter.class,
            description =
                    "Memory for each qcow2 image's tables (default 32M, enough for 256 GiB in clusters of 64 KiB; less is used"
                            + " where less is needed).")
    long l2CacheSize;

    @Option(
            names = "--cache",
            paramLabel = "MODE",
            converter = CacheModeConverter.class,
            description =
                    "Caching, as QEMU names it: none (O_DIRECT), writeback, writethrough, directsync, unsafe (default"
                            + " writeback).")
    CacheMode cache = CacheMode.WRITEBACK;

    @Option(
            names = "--engine",
            paramLabel = "ENGINE",
            converter = EngineConverter.class,
            description =
                    "How files are read and written: io_uring; threads; mmap, which copies from and to a file in memory (tmpfs)"
                            + " without system calls; or auto (default), which is mmap where it can be and the host does"
                            + " not swap, then io_uring, then threads.")
    IoEngine engine = IoEngine.AUTO;

    @Option(
            names = "--serial",
            paramLabel = "TEXT",
            description = "Serial number that the guest sees, up to 20 bytes (default: from the image's name).")
    @Nullable
    String serial;

    @Option(
            names = "--block-size",
            paramLabel = "SIZE",
            converter = SizeConverter.class,
            description = "Logical block size, 512 to 64K (default: the disk's).")
    long blockSize;

    @Option(
            names = "--discard",
            paramLabel = "unmap|ignore",
            converter = DiscardConverter.class,
            description = "Whether discards give space back (default unmap).")
    Discard discard = Discard.UNMAP;

    @Option(
            names = "--write-zeroes",
            paramLabel = "on|off",
            converter = OnOffConverter.class,
            description = "Whether guests may write zeroes without data (default on).")
    OnOff writeZeroes = OnOff.ON;

    @Option(
            names = "--max-ranges",
            paramLabel = "N",
            description = "Ranges in one discard, write-zeroes or secure-erase request, 1 to 256 (default 32).")
    int maxRanges = 32;

    @Option(
            names = "--secure-erase",
            paramLabel = "on|off",
            converter = OnOffConverter.class,
            description =
                    "Whether guests may erase ranges: by the device's own means, or else by writing zeroes over them, which on"
                            + " flash, snapshots and copy-on-write file systems leaves old copies (default off).")
    OnOff secureErase = OnOff.OFF;

    @Option(
            names = "--geometry",
            paramLabel = "C/H/S",
            converter = GeometryConverter.class,
            description = "Cylinders/heads/sectors that the guest sees (default: auto, from the size).")
    @Nullable
    DiskGeometry geometry;

    @Option(
            names = "--lifetime",
            paramLabel = "PRE:A:B",
            converter = LifetimeConverter.class,
            description =
                    "Wear that the guest sees: spare blocks normal, warning or urgent, and life used of SLC and MLC cells in"
                            + " steps of 10%%, 1 to 11, 0 unknown; auto: what an NVMe or eMMC device tells (default); off.")
    @Nullable
    DiskLifetime lifetime;

    @Option(
            names = "--seg-max",
            paramLabel = "N",
            description = "Data segments in one request, 1 to 1022 (default 126: fits queues of 128).")
    int segMax = 126;

    @Option(
            names = "--zone-size",
            paramLabel = "SIZE",
            converter = SizeConverter.class,
            description =
                    "Divide the disk into zones of this size, a power of two from 64K, that must be written sequentially: an"
                            + " emulated host-managed disk (default: as the disk is).")
    long zoneSize;

    @Option(
            names = "--zone-capacity",
            paramLabel = "SIZE",
            converter = SizeConverter.class,
            description = "How much of a sequential zone can be written (default: all).")
    long zoneCapacity;

    @Option(
            names = "--conventional-zones",
            paramLabel = "N",
            description = "How many zones from the first on can be written in any order (default 0).")
    int conventionalZones;

    @Option(
            names = "--max-open-zones",
            paramLabel = "N",
            description = "How many zones may be open at once (default 0: any number).")
    int maxOpenZones;

    @Option(
            names = "--max-active-zones",
            paramLabel = "N",
            description = "How many zones may be open or closed at once (default 0: any number).")
    int maxActiveZones;

    @Option(
            names = "--zone-metadata",
            paramLabel = "FILE",
            description = "File that keeps the zones' states, made when it does not exist (default: IMAGE.zones).")
    @Nullable
    String zoneMetadata;

    @Option(
            names = "--share-rw",
            description = "Let others write the image at the same time (for migration, or a cluster file system).")
    boolean shareRw;

    @Option(
            names = {"-U", "--force-share"},
            description = "Open read-only without regard to anybody's locks.")
    boolean forceShare;

    @Option(
            names = "--locking",
            paramLabel = "on|off|deferred",
            converter = LockingConverter.class,
            description =
                    "Whether the image is locked against other programs, as QEMU does it (default on); deferred: only when a"
                            + " guest begins to use it, for the receiving side of a live migration.")
    Locking locking = Locking.ON;

    @Option(
            names = "--clients",
            paramLabel = "N",
            description =
                    "Front ends served at once on the socket, 1 to 64 (default 1: the next waits until the one before has"
                            + " left). More than one needs --read-only, or --share-rw when they agree upon who writes.")
    int clients = 1;

    @Option(
            names = "--in-order",
            description =
                    "Offer guests their requests back in order (VIRTIO_F_IN_ORDER): fast ones wait for slow ones.")
    boolean inOrder;

    @Option(
            names = "--order-platform",
            description =
                    "Offer guests the barriers of a real device (VIRTIO_F_ORDER_PLATFORM): they cost and gain nothing.")
    boolean orderPlatform;

    @Option(
            names = "--access-platform",
            description = "Offer guests to reach the disk through their IOMMU (VIRTIO_F_ACCESS_PLATFORM): QEMU's"
                    + " iommu_platform=on needs it.")
    boolean accessPlatform;

    @Option(
            names = "--in-band",
            description =
                    "Offer front ends kicks and interrupts as messages, for simulations such as UML's time travel.")
    boolean inBand;

    @Option(
            names = "--gpa-addresses",
            description = "Offer front ends to name the guest's memory by the guest's own addresses"
                    + " (VHOST_USER_PROTOCOL_F_GPA_ADDRESSES).")
    boolean gpaAddresses;

    @Option(
            names = "--get-vring-base-inflight",
            description =
                    "Offer front ends that carry in-flight regions along to leave there what a queue that is stopped has"
                            + " not begun (VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT).")
    boolean getVringBaseInflight;

    @Option(
            names = "--postcopy",
            paramLabel = "on|off",
            converter = OnOffConverter.class,
            description = "Whether a live migration may go on while the guest runs here already, where the kernel"
                    + " allows it (default on).")
    OnOff postcopy = OnOff.ON;

    @Option(
            names = "--socket-mode",
            paramLabel = "MODE",
            converter = SocketModeConverter.class,
            description = "Permissions of the socket, octal (default 0600).")
    int socketMode = 0600;

    @Option(names = "--socket-owner", paramLabel = "USER", description = "Owner of the socket, name or number.")
    @Nullable
    String socketOwner;

    @Option(names = "--socket-group", paramLabel = "GROUP", description = "Group of the socket, name or number.")
    @Nullable
    String socketGroup;

    /** {@code 1024/16/63}, or {@code auto}. */
    static final class GeometryConverter implements ITypeConverter<@Nullable DiskGeometry> {
        private static final Pattern GEOMETRY = Pattern.compile("(\\d{1,5})/(\\d{1,3})/(\\d{1,3})");

        @Override
        public @Nullable DiskGeometry convert(String value) {
            if (value.equals("auto")) {
                return null;
            }
            Matcher matcher = GEOMETRY.matcher(value);
            if (matcher.matches()) {
                int cylinders = Integer.parseInt(matcher.group(1));
                int heads = Integer.parseInt(matcher.group(2));
                int sectors = Integer.parseInt(matcher.group(3));
                if (isIn(cylinders, 65535) && isIn(heads, 255) && isIn(sectors, 255)) {
                    return new DiskGeometry(cylinders, heads, sectors);
                }
            }
            throw new TypeConversionException("'" + value
                    + "' is no geometry such as 1024/16/63: up to 65535 cylinders, 255 heads, 255 sectors; or auto");
        }

        private static boolean isIn(int number, int max) {
            return number >= 1 && number <= max;
        }
    }

    /** {@code normal:1:2}, {@code auto} or {@code off}. */
    static final class LifetimeConverter implements ITypeConverter<@Nullable DiskLifetime> {
        static final List<String> SPARE_BLOCKS = List.of("unknown", "normal", "warning", "urgent");
        private static final Pattern LIFETIME = Pattern.compile("([a-z]+):(\\d{1,2}):(\\d{1,2})");

        @Override
        public @Nullable DiskLifetime convert(String value) {
            if (value.equals("auto")) {
                return null;
            }
            if (value.equals("off")) {
                return DiskLifetime.UNKNOWN;
            }
            Matcher matcher = LIFETIME.matcher(value);
            if (matcher.matches()) {
                int preEndOfLife = SPARE_BLOCKS.indexOf(matcher.group(1));
                int usedA = Integer.parseInt(matcher.group(2));
                int usedB = Integer.parseInt(matcher.group(3));
                if (preEndOfLife >= 0 && usedA <= DiskLifetime.USED_MAX && usedB <= DiskLifetime.USED_MAX) {
                    return new DiskLifetime(preEndOfLife, usedA, usedB);
                }
            }
            throw new TypeConversionException("'" + value + "' is no wear such as normal:1:2: spare blocks "
                    + String.join(", ", SPARE_BLOCKS) + ", then twice 0 to 11; or auto, off");
        }
    }

    /** {@code raw}, {@code qcow2}, {@code auto}. */
    static final class FormatConverter implements ITypeConverter<ImageType> {
        @Override
        public ImageType convert(String value) {
            return oneOf(ImageType.class, value);
        }
    }

    /** {@code none}, {@code writeback}, …. */
    static final class CacheModeConverter implements ITypeConverter<CacheMode> {
        @Override
        public CacheMode convert(String value) {
            return oneOf(CacheMode.class, value);
        }
    }

    /** {@code io_uring}, {@code threads}, {@code auto}. */
    static final class EngineConverter implements ITypeConverter<IoEngine> {
        @Override
        public IoEngine convert(String value) {
            return oneOf(IoEngine.class, value);
        }
    }

    /** {@code on}, {@code off}, {@code deferred}. */
    static final class LockingConverter implements ITypeConverter<Locking> {
        @Override
        public Locking convert(String value) {
            return oneOf(Locking.class, value);
        }
    }

    static <E extends Enum<E>> E oneOf(Class<E> type, String value) {
        for (E each : EnumSet.allOf(type)) {
            if (each.name().toLowerCase(Locale.ROOT).equals(value)) {
                return each;
            }
        }
        throw new TypeConversionException(
                "'" + value + "' is none of " + EnumSet.allOf(type).toString().toLowerCase(Locale.ROOT));
    }

    /** An enum and not a boolean: picocli takes a boolean option without a value as well, and then toggles it. */
    enum OnOff {
        ON,
        OFF;

        boolean isOn() {
            return this == ON;
        }
    }

    /** What becomes of a guest's discards. */
    enum Discard {
        UNMAP,
        IGNORE
    }

    /** {@code on} or {@code off}. */
    static final class OnOffConverter implements ITypeConverter<OnOff> {
        @Override
        public OnOff convert(String value) {
            return switch (value) {
                case "on" -> OnOff.ON;
                case "off" -> OnOff.OFF;
                default -> throw new TypeConversionException("'" + value + "' is neither on nor off");
            };
        }
    }

    /** {@code unmap} or {@code ignore}, as QEMU names them; {@code on} and {@code off} mean the same. */
    static final class DiscardConverter implements ITypeConverter<Discard> {
        @Override
        public Discard convert(String value) {
            return switch (value) {
                case "unmap", "on" -> Discard.UNMAP;
                case "ignore", "off" -> Discard.IGNORE;
                default -> throw new TypeConversionException("'" + value + "' is neither unmap nor ignore");
            };
        }
    }

    /** Permission bits in octal. */
    static final class SocketModeConverter implements ITypeConverter<Integer> {
        @Override
        public Integer convert(String value) {
            if (!value.matches("0?[0-7]{3}")) {
                throw new TypeConversionException("'" + value + "' is no octal mode such as 0660");
            }
            return Integer.parseInt(value, 8);
        }
    }
}

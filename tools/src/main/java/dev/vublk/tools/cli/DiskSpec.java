// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.ZoneOptions;
import dev.vublk.emulator.DiskConfig;
import dev.vublk.emulator.virtioblk.VirtioBlkSettings;
import dev.vublk.tools.cli.DiskDefaults.CacheModeConverter;
import dev.vublk.tools.cli.DiskDefaults.Discard;
import dev.vublk.tools.cli.DiskDefaults.DiscardConverter;
import dev.vublk.tools.cli.DiskDefaults.EngineConverter;
import dev.vublk.tools.cli.DiskDefaults.FormatConverter;
import dev.vublk.tools.cli.DiskDefaults.GeometryConverter;
import dev.vublk.tools.cli.DiskDefaults.LifetimeConverter;
import dev.vublk.tools.cli.DiskDefaults.LockingConverter;
import dev.vublk.tools.cli.DiskDefaults.OnOffConverter;
import dev.vublk.tools.cli.DiskDefaults.SocketModeConverter;
import dev.vublk.vhostuser.session.OptionalFeature;
import dev.vublk.vhostuser.session.SessionOptions;
import dev.vublk.vhostuser.socket.ListenerOptions;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystems;
import java.nio.file.Path;
import java.nio.file.attribute.UserPrincipal;
import java.nio.file.attribute.UserPrincipalLookupService;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.TypeConversionException;

/**
 * One disk as it was asked for, in QEMU's manner: {@code image=a.img,socket=a.sock,serial=x}, {@code ,,} for a comma in a
 * value. Checked when it is built.
 */
final class DiskSpec {
    private static final int SERIAL_BYTES_MAX = 20;
    private static final int QUEUES_MAX = 256;

    /** As many zones as an emulated disk may have. */
    private static final int ZONES_MAX = 1 << 17;

    /** Arbitrary; each front end has its own rings, memory and descriptors. */
    private static final int CLIENTS_MAX = 64;

    /** Keys that are on when they are merely named. */
    private static final Set<String> SWITCHES = Set.of(
            "read-only",
            "share-rw",
            "force-share",
            "locking",
            "write-zeroes",
            "secure-erase",
            "in-order",
            "order-platform",
            "access-platform",
            "in-band",
            "gpa-addresses",
            "get-vring-base-inflight");

    /** Every key, in the order in which a person wants to see them. */
    static final List<String> KEYS = List.of(
            "image",
            "socket",
            "socket-fd",
            "socket-mode",
            "socket-owner",
            "socket-group",
            "clients",
            "serial",
            "queues",
            "queue-size",
            "packed",
            "seg-max",
            "max-ranges",
            "block-size",
            "format",
            "snapshot",
            "l2-cache-size",
            "read-only",
            "share-rw",
            "force-share",
            "locking",
            "cache",
            "engine",
            "discard",
            "write-zeroes",
            "in-order",
            "order-platform",
            "access-platform",
            "in-band",
            "gpa-addresses",
            "get-vring-base-inflight",
            "postcopy",
            "secure-erase",
            "geometry",
            "lifetime",
            "zone-size",
            "zone-capacity",
            "conventional-zones",
            "max-open-zones",
            "max-active-zones",
            "zone-metadata");

    private final DiskDefaults values;

    /** Whether this disk is written as keys: for messages, which name what the user typed. */
    private final boolean ofKeys;

    private final Set<String> seen = new HashSet<>();
    private @Nullable String image;
    private @Nullable String socket;
    private int socketFd = -1;

    private DiskSpec(DiskDefaults defaults, boolean ofKeys) {
        values = copyOf(defaults);
        this.ofKeys = ofKeys;
    }

    /** A disk of the command's own options. */
    static DiskSpec ofOptions(DiskDefaults defaults, String image) {
        DiskSpec spec = new DiskSpec(defaults, false);
        spec.set("image", image);
        return spec;
    }

    private static DiskDefaults copyOf(DiskDefaults from) {
        DiskDefaults copy = new DiskDefaults();
        copy.queues = from.queues;
        copy.queueSize = from.queueSize;
        copy.packed = from.packed;
        copy.readOnly = from.readOnly;
        copy.format = from.format;
        copy.snapshot = from.snapshot;
        copy.l2CacheSize = from.l2CacheSize;
        copy.cache = from.cache;
        copy.engine = from.engine;
        copy.serial = from.serial;
        copy.blockSize = from.blockSize;
        copy.discard = from.discard;
        copy.writeZeroes = from.writeZeroes;
        copy.maxRanges = from.maxRanges;
        copy.secureErase = from.secureErase;
        copy.geometry = from.geometry;
        copy.lifetime = from.lifetime;
        copy.zoneSize = from.zoneSize;
        copy.zoneCapacity = from.zoneCapacity;
        copy.conventionalZones = from.conventionalZones;
        copy.maxOpenZones = from.maxOpenZones;
        copy.maxActiveZones = from.maxActiveZones;
        copy.zoneMetadata = from.zoneMetadata;
        copy.segMax = from.segMax;
        copy.shareRw = from.shareRw;
        copy.forceShare = from.forceShare;
        copy.locking = from.locking;
        copy.clients = from.clients;
        copy.inOrder = from.inOrder;
        copy.orderPlatform = from.orderPlatform;
        copy.accessPlatform = from.accessPlatform;
        copy.inBand = from.inBand;
        copy.gpaAddresses = from.gpaAddresses;
        copy.getVringBaseInflight = from.getVringBaseInflight;
        copy.postcopy = from.postcopy;
        copy.socketMode = from.socketMode;
        copy.socketOwner = from.socketOwner;
        copy.socketGroup = from.socketGroup;
        return copy;
    }

    /** Parses a list of {@code key=value}; a switch without a value means {@code on}. */
    static DiskSpec parse(String text, DiskDefaults defaults) {
        DiskSpec spec = new DiskSpec(defaults, true);
        for (String part : splitList(text)) {
            int equals = part.indexOf('=');
            if (equals >= 0) {
                spec.set(part.substring(0, equals), part.substring(equals + 1));
            } else if (part.isEmpty()) {
                throw new TypeConversionException("a comma too many (a comma in a value is written ',,')");
            } else if (SWITCHES.contains(part) || !KEYS.contains(part)) {
                spec.set(part, "on");
            } else {
                throw new TypeConversionException(part + ": needs a value: " + part + "=...");
            }
        }
        return spec;
    }

    /** Cuts at commas; two commas are one comma of a value. */
    static List<String> splitList(String text) {
        List<String> parts = new ArrayList<>();
        StringBuilder part = new StringBuilder();
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c != ',') {
                part.append(c);
            } else if (i + 1 < text.length() && text.charAt(i + 1) == ',') {
                part.append(',');
                i++;
            } else {
                parts.add(part.toString());
                part.setLength(0);
            }
        }
        parts.add(part.toString());
        return parts;
    }

    /** Sets one key. Throws {@link TypeConversionException} with a line for the user. */
    void set(String key, String value) {
        if (!seen.add(key)) {
            throw new TypeConversionException(key + ": is given twice; a comma in a value is written ',,'");
        }
        try {
            apply(key, value);
        } catch (TypeConversionException e) {
            throw refused(key, String.valueOf(e.getMessage()));
        }
    }

    private void apply(String key, String value) {
        OnOffConverter onOff = new OnOffConverter();
        switch (key) {
            case "image" -> image = value;
            case "socket" -> socket = value;
            case "socket-fd" -> socketFd = number(value, 0, Integer.MAX_VALUE);
            case "socket-mode" -> values.socketMode = new SocketModeConverter().convert(value);
            case "socket-owner" -> values.socketOwner = value;
            case "socket-group" -> values.socketGroup = value;
            case "serial" -> values.serial = value;
            case "queues" -> values.queues = number(value, 1, QUEUES_MAX);
            case "queue-size" -> values.queueSize = number(value, 1, 32768);
            case "packed" -> values.packed = onOff.convert(value);
            case "clients" -> values.clients = number(value, 1, CLIENTS_MAX);
            case "in-order" -> values.inOrder = onOff.convert(value).isOn();
            case "order-platform" -> values.orderPlatform = onOff.convert(value).isOn();
            case "access-platform" ->
                values.accessPlatform = onOff.convert(value).isOn();
            case "in-band" -> values.inBand = onOff.convert(value).isOn();
            case "gpa-addresses" -> values.gpaAddresses = onOff.convert(value).isOn();
            case "get-vring-base-inflight" ->
                values.getVringBaseInflight = onOff.convert(value).isOn();
            case "postcopy" -> values.postcopy = onOff.convert(value);
            case "seg-max" -> values.segMax = number(value, 1, 1022);
            case "max-ranges" -> values.maxRanges = number(value, 1, 256);
            case "block-size" -> values.blockSize = new SizeConverter().convert(value);
            case "read-only" -> values.readOnly = onOff.convert(value).isOn();
            case "share-rw" -> values.shareRw = onOff.convert(value).isOn();
            case "force-share" -> values.forceShare = onOff.convert(value).isOn();
            case "locking" -> values.locking = new LockingConverter().convert(value);
            case "format" -> values.format = new FormatConverter().convert(value);
            case "snapshot" -> values.snapshot = value;
            case "l2-cache-size" -> values.l2CacheSize = new SizeConverter().convert(value);
            case "cache" -> values.cache = new CacheModeConverter().convert(value);
            case "engine" -> values.engine = new EngineConverter().convert(value);
            case "discard" -> values.discard = new DiscardConverter().convert(value);
            case "write-zeroes" -> values.writeZeroes = onOff.convert(value);
            case "secure-erase" -> values.secureErase = onOff.convert(value);
            case "geometry" -> values.geometry = new GeometryConverter().convert(value);
            case "lifetime" -> values.lifetime = new LifetimeConverter().convert(value);
            case "zone-size" -> values.zoneSize = new SizeConverter().convert(value);
            case "zone-capacity" -> values.zoneCapacity = new SizeConverter().convert(value);
            case "conventional-zones" -> values.conventionalZones = number(value, 0, ZONES_MAX);
            case "max-open-zones" -> values.maxOpenZones = number(value, 0, ZONES_MAX);
            case "max-active-zones" -> values.maxActiveZones = number(value, 0, ZONES_MAX);
            case "zone-metadata" -> values.zoneMetadata = value;
            default -> throw new TypeConversionException("no such key; known are " + String.join(", ", KEYS));
        }
    }

    private static int number(String value, int min, int max) {
        try {
            int number = Integer.parseInt(value);
            if (number >= min && number <= max) {
                return number;
            }
        } catch (NumberFormatException e) {
            // Said below, in the same words.
        }
        throw new TypeConversionException("'" + value + "' is no number from " + min + " to " + max);
    }

    /** Checks what belongs together. Throws {@link TypeConversionException} with a line for the user. */
    DiskConfig build() {
        if (image == null || image.isEmpty()) {
            throw new TypeConversionException(
                    "no image given: what is to be served?" + (ofKeys ? " (image=FILE)" : ""));
        }
        if ((socket == null) == (socketFd < 0)) {
            throw new TypeConversionException(image + ": needs one socket: "
                    + (ofKeys ? "socket=PATH or socket-fd=N" : "--socket PATH or --socket-fd N")
                    + (socket == null ? "" : ", not both"));
        }
        checkNumbers();
        String serial = values.serial != null ? values.serial : serialFrom(image);
        if (serial.getBytes(StandardCharsets.UTF_8).length > SERIAL_BYTES_MAX) {
            throw refused("serial", "'" + serial + "' is longer than " + SERIAL_BYTES_MAX + " bytes");
        }
        if (values.forceShare && !values.readOnly) {
            throw refused("force-share", "is only safe for reading: add " + (ofKeys ? "read-only=on" : "--read-only"));
        }
        if (values.snapshot != null && !values.readOnly) {
            throw refused("snapshot", "can only be read: add " + (ofKeys ? "read-only=on" : "--read-only"));
        }
        if (values.clients > 1 && !values.readOnly && !values.shareRw) {
            // As QEMU's share-rw: several guests on one file system destroy it, unless they know of each other.
            throw refused(
                    "clients",
                    "several guests that write one disk destroy its file system: add "
                            + (ofKeys ? "read-only=on, or share-rw=on" : "--read-only, or --share-rw")
                            + " for a cluster file system");
        }
        checkPrincipals();
        return new DiskConfig(
                BlockOptions.of(image)
                        .withReadOnly(values.readOnly)
                        .withType(values.format)
                        .withSnapshot(values.snapshot)
                        .withL2CacheBytes(values.l2CacheSize)
                        .withCacheMode(values.cache)
                        .withEngine(values.engine)
                        .withDiscard(values.discard == Discard.UNMAP)
                        .withLogicalBlockBytes((int) values.blockSize)
                        .withLocking(values.locking)
                        .withShareRw(values.shareRw)
                        .withForceShare(values.forceShare)
                        .withZones(zones(image)),
                new ListenerOptions(
                        socket, socketFd, values.socketMode, values.socketOwner, values.socketGroup, values.clients),
                sessionOptions(),
                new VirtioBlkSettings(
                        serial,
                        values.queues,
                        values.queueSize,
                        values.packed.isOn(),
                        values.segMax,
                        values.discard == Discard.UNMAP,
                        values.writeZeroes.isOn(),
                        values.maxRanges,
                        values.secureErase.isOn(),
                        values.geometry,
                        values.lifetime));
    }

    private SessionOptions sessionOptions() {
        EnumSet<OptionalFeature> offers = EnumSet.noneOf(OptionalFeature.class);
        offerIf(values.inOrder, OptionalFeature.IN_ORDER, offers);
        offerIf(values.orderPlatform, OptionalFeature.ORDER_PLATFORM, offers);
        offerIf(values.inBand, OptionalFeature.IN_BAND_NOTIFICATIONS, offers);
        offerIf(values.accessPlatform, OptionalFeature.ACCESS_PLATFORM, offers);
        offerIf(values.gpaAddresses, OptionalFeature.GPA_ADDRESSES, offers);
        offerIf(values.getVringBaseInflight, OptionalFeature.GET_VRING_BASE_INFLIGHT, offers);
        offerIf(values.postcopy.isOn(), OptionalFeature.POSTCOPY, offers);
        return new SessionOptions(offers);
    }

    private static void offerIf(boolean wanted, OptionalFeature feature, Set<OptionalFeature> offers) {
        if (wanted) {
            offers.add(feature);
        }
    }

    /** The zones to be emulated, or null; what only makes sense with zones is refused without them. */
    private @Nullable ZoneOptions zones(String imageName) {
        if (values.zoneSize == 0) {
            for (String key : List.of("zone-capacity", "conventional-zones", "max-open-zones", "max-active-zones")) {
                if (seen.contains(key)) {
                    throw refused(key, "there are no zones without zone-size");
                }
            }
            if (values.zoneMetadata != null || values.zoneCapacity != 0 || values.conventionalZones != 0) {
                throw refused("zone-size", "is missing: there are no zones without it");
            }
            return null;
        }
        if (Long.bitCount(values.zoneSize) != 1 || values.zoneSize < 64 << 10) {
            throw refused("zone-size", "'" + values.zoneSize + "' is no power of two from 65536 on");
        }
        return new ZoneOptions(
                values.zoneMetadata == null ? imageName + ".zones" : values.zoneMetadata,
                values.zoneSize,
                values.zoneCapacity,
                values.conventionalZones,
                values.maxOpenZones,
                values.maxActiveZones);
    }

    private void checkNumbers() {
        check("conventional-zones", values.conventionalZones, 0, ZONES_MAX);
        check("max-open-zones", values.maxOpenZones, 0, ZONES_MAX);
        check("max-active-zones", values.maxActiveZones, 0, ZONES_MAX);
        check("queues", values.queues, QUEUES_MAX);
        check("queue-size", values.queueSize, 32768);
        check("seg-max", values.segMax, 1022);
        check("clients", values.clients, CLIENTS_MAX);
        check("max-ranges", values.maxRanges, 256);
        if (Integer.bitCount(values.queueSize) != 1) {
            throw refused("queue-size", "'" + values.queueSize + "' is no power of two from 1 to 32768");
        }
        long block = values.blockSize;
        if (block != 0 && (block < 512 || block > 65536 || Long.bitCount(block) != 1)) {
            throw refused("block-size", "'" + block + "' is no power of two from 512 to 65536");
        }
    }

    private void checkPrincipals() {
        UserPrincipalLookupService principals = FileSystems.getDefault().getUserPrincipalLookupService();
        checkPrincipal("socket-owner", "user", values.socketOwner, principals::lookupPrincipalByName);
        checkPrincipal("socket-group", "group", values.socketGroup, principals::lookupPrincipalByGroupName);
    }

    private void checkPrincipal(String key, String kind, @Nullable String name, PrincipalLookup lookup) {
        if (name == null) {
            return;
        }
        try {
            lookup.find(name);
        } catch (IOException e) {
            throw refused(key, "there is no " + kind + " '" + name + "'; give a name or a number");
        }
    }

    /** A method of {@link UserPrincipalLookupService}. */
    private interface PrincipalLookup {
        UserPrincipal find(String name) throws IOException;
    }

    private void check(String key, int value, int max) {
        check(key, value, 1, max);
    }

    private void check(String key, int value, int min, int max) {
        if (value < min || value > max) {
            throw refused(key, "'" + value + "' is no number from " + min + " to " + max);
        }
    }

    /** Names the key as the user gave it: here, or as an option that holds for all disks. */
    private TypeConversionException refused(String key, @Nullable String why) {
        return new TypeConversionException((ofKeys && seen.contains(key) ? key : "--" + key) + ": " + why);
    }

    /** The last 20 bytes of the file's name: what tells images of one folder apart is usually at the end. */
    private static String serialFrom(String image) {
        Path name = Path.of(image).getFileName();
        String text = (name == null ? image : name.toString()).replaceAll("[^\\x21-\\x7e]", "_");
        return text.length() <= SERIAL_BYTES_MAX ? text : text.substring(text.length() - SERIAL_BYTES_MAX);
    }
}

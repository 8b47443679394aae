// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import dev.vublk.blockdev.BlockOptions;
import dev.vublk.emulator.DiskConfig;
import dev.vublk.emulator.virtioblk.VirtioBlkSettings;
import dev.vublk.tools.cli.DiskDefaults.CacheModeConverter;
import dev.vublk.tools.cli.DiskDefaults.Discard;
import dev.vublk.tools.cli.DiskDefaults.DiscardConverter;
import dev.vublk.tools.cli.DiskDefaults.EngineConverter;
import dev.vublk.tools.cli.DiskDefaults.OnOffConverter;
import dev.vublk.tools.cli.DiskDefaults.SocketModeConverter;
import dev.vublk.vhostuser.socket.ListenerOptions;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
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

    private final DiskDefaults values;
    private final Set<String> seen = new HashSet<>();
    private @Nullable String image;
    private @Nullable String socket;
    private int socketFd = -1;

    DiskSpec(DiskDefaults defaults) {
        values = copyOf(defaults);
    }

    private static DiskDefaults copyOf(DiskDefaults from) {
        DiskDefaults copy = new DiskDefaults();
        copy.queues = from.queues;
        copy.queueSize = from.queueSize;
        copy.readOnly = from.readOnly;
        copy.cache = from.cache;
        copy.engine = from.engine;
        copy.serial = from.serial;
        copy.blockSize = from.blockSize;
        copy.discard = from.discard;
        copy.writeZeroes = from.writeZeroes;
        copy.maxRanges = from.maxRanges;
        copy.segMax = from.segMax;
        copy.shareRw = from.shareRw;
        copy.forceShare = from.forceShare;
        copy.locking = from.locking;
        copy.socketMode = from.socketMode;
        copy.socketOwner = from.socketOwner;
        copy.socketGroup = from.socketGroup;
        return copy;
    }

    /** Parses a list of {@code key=value}; a key without a value means {@code on}. */
    static DiskSpec parse(String text, DiskDefaults defaults) {
        DiskSpec spec = new DiskSpec(defaults);
        for (String part : splitList(text)) {
            int equals = part.indexOf('=');
            spec.set(equals < 0 ? part : part.substring(0, equals), equals < 0 ? "on" : part.substring(equals + 1));
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
            throw new TypeConversionException("key '" + key + "' is given twice");
        }
        try {
            apply(key, value);
        } catch (TypeConversionException e) {
            throw new TypeConversionException(key + ": " + e.getMessage());
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
            case "seg-max" -> values.segMax = number(value, 1, 1022);
            case "max-ranges" -> values.maxRanges = number(value, 1, 256);
            case "block-size" -> values.blockSize = new SizeConverter().convert(value);
            case "read-only" -> values.readOnly = onOff.convert(value).isOn();
            case "share-rw" -> values.shareRw = onOff.convert(value).isOn();
            case "force-share" -> values.forceShare = onOff.convert(value).isOn();
            case "locking" -> values.locking = onOff.convert(value);
            case "cache" -> values.cache = new CacheModeConverter().convert(value);
            case "engine" -> values.engine = new EngineConverter().convert(value);
            case "discard" -> values.discard = new DiscardConverter().convert(value);
            case "write-zeroes" -> values.writeZeroes = onOff.convert(value);
            default ->
                throw new TypeConversionException(
                        "no such key; known are image, socket, socket-fd, socket-mode, socket-owner, socket-group, serial,"
                                + " queues, queue-size, seg-max, max-ranges, block-size, read-only, share-rw, force-share,"
                                + " locking, cache, engine, discard, write-zeroes");
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
            throw new TypeConversionException("no image given: what is to be served?");
        }
        if ((socket == null) == (socketFd < 0)) {
            throw new TypeConversionException(
                    image + ": needs one socket: a path (--socket, socket=) or a descriptor (--socket-fd, socket-fd=)");
        }
        checkNumbers();
        String serial = values.serial != null ? values.serial : serialFrom(image);
        if (serial.getBytes(StandardCharsets.UTF_8).length > SERIAL_BYTES_MAX) {
            throw new TypeConversionException("serial '" + serial + "' is longer than 20 bytes");
        }
        if (values.forceShare && !values.readOnly) {
            throw new TypeConversionException("--force-share is only safe for reading: add --read-only");
        }
        return new DiskConfig(
                new BlockOptions(
                        image,
                        values.readOnly,
                        values.cache,
                        values.engine,
                        values.discard == Discard.UNMAP,
                        (int) values.blockSize,
                        values.locking.isOn(),
                        values.shareRw,
                        values.forceShare),
                new ListenerOptions(socket, socketFd, values.socketMode, values.socketOwner, values.socketGroup),
                new VirtioBlkSettings(
                        serial,
                        values.queues,
                        values.queueSize,
                        values.segMax,
                        values.discard == Discard.UNMAP,
                        values.writeZeroes.isOn(),
                        values.maxRanges));
    }

    private void checkNumbers() {
        check("--queues", values.queues, 1, QUEUES_MAX);
        check("--queue-size", values.queueSize, 1, 32768);
        check("--seg-max", values.segMax, 1, 1022);
        check("--max-ranges", values.maxRanges, 1, 256);
        if (Integer.bitCount(values.queueSize) != 1) {
            throw new TypeConversionException("--queue-size: " + values.queueSize + " is no power of two");
        }
        long block = values.blockSize;
        if (block != 0 && (block < 512 || block > 65536 || Long.bitCount(block) != 1)) {
            throw new TypeConversionException("--block-size: " + block + " is no power of two from 512 to 65536");
        }
    }

    private static void check(String option, int value, int min, int max) {
        if (value < min || value > max) {
            throw new TypeConversionException(option + ": " + value + " is not from " + min + " to " + max);
        }
    }

    /** The last 20 bytes of the file's name: what tells images of one folder apart is usually at the end. */
    private static String serialFrom(String image) {
        Path name = Path.of(image).getFileName();
        String text = (name == null ? image : name.toString()).replaceAll("[^\\x21-\\x7e]", "_");
        return text.length() <= SERIAL_BYTES_MAX ? text : text.substring(text.length() - SERIAL_BYTES_MAX);
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import static dev.vublk.blockdev.qcow2.Qcow2Layout.*;

import dev.vublk.blockdev.ImageType;
import dev.vublk.blockdev.file.OfflineFile;
import dev.vublk.blockdev.qcow2.Preallocation;
import dev.vublk.blockdev.qcow2.Qcow2Creator;
import dev.vublk.blockdev.qcow2.Qcow2Header;
import dev.vublk.tools.cli.SizeConverter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Makes a new, empty image. It is written under a temporary name, made stable, and only then gets its own; whatever fails leaves
 * nothing behind. One thread.
 */
public final class ImageCreation {
    private static final int SECTOR_BYTES = 512;

    private final String name;
    private final FormatOptions options;
    private final boolean force;
    private final boolean trustBacking;

    /**
     * @param name the image's path
     * @param options of its format, as {@code -o} has them; size, backing file and its format among them
     * @param force whether a file that is there is replaced
     * @param trustBacking whether the backing file need not be there yet; then the size must be given
     */
    public ImageCreation(String name, FormatOptions options, boolean force, boolean trustBacking) {
        this.name = name;
        this.options = options;
        this.force = force;
        this.trustBacking = trustBacking;
    }

    /**
     * Makes the image.
     *
     * @return the size of its disk
     * @throws IllegalArgumentException an option is wrong: one line for the user
     * @throws IOException the image cannot be made: one line for the user
     */
    public long create(ImageType type) throws IOException {
        refuseExisting(name);
        return type == ImageType.QCOW2 ? createQcow2() : createRaw();
    }

    private void refuseExisting(String path) throws IOException {
        if (!force && Files.exists(Path.of(path), LinkOption.NOFOLLOW_LINKS)) {
            throw new IOException(path + ": exists already; --force replaces it");
        }
    }

    private long createRaw() throws IOException {
        options.checkKeys("raw", Set.of("size", "preallocation"));
        Preallocation preallocation = preallocation();
        if (preallocation == Preallocation.METADATA) {
            throw new IllegalArgumentException("preallocation: a raw image has no metadata: use off, falloc or full");
        }
        long sizeBytes = size(-1);
        try (TargetFile target = TargetFile.create(name)) {
            target.file().setSize(sizeBytes);
            if (preallocation == Preallocation.FALLOC && sizeBytes > 0) {
                target.file().allocate(0, sizeBytes);
            } else if (preallocation == Preallocation.FULL) {
                Qcow2Creator.writeZeroes(target.file(), 0, sizeBytes);
            }
            commit(target);
        }
        return sizeBytes;
    }

    private long createQcow2() throws IOException {
        Qcow2Header asked = Qcow2Options.header(options, Set.of("size", "preallocation", "data_file", "data_file_raw"));
        String dataFile = options.value("data_file");
        boolean rawData = options.isOn("data_file_raw");
        Preallocation preallocation = preallocation();
        check(asked, dataFile, rawData, preallocation);
        long sizeBytes = size(backingSize(asked));
        Qcow2Header.Builder header = asked.with().sizeBytes(sizeBytes);
        if (dataFile != null) {
            header.dataFile(dataFile).autoclear(rawData ? AUTOCLEAR_DATA_FILE_RAW : 0);
        }
        if (rawData && preallocation == Preallocation.OFF) {
            preallocation = Preallocation.METADATA; // Or the data file would not be the disk as it is.
        }
        if (dataFile == null) {
            try (TargetFile target = TargetFile.create(name)) {
                Qcow2Creator.create(target.file(), null, header.build(), preallocation);
                commit(target);
            }
            return sizeBytes;
        }
        refuseExisting(dataFile);
        try (TargetFile target = TargetFile.create(name);
                TargetFile data = TargetFile.create(dataFile)) {
            Qcow2Creator.create(target.file(), data.file(), header.build(), preallocation);
            commit(data);
            try {
                commit(target);
            } catch (IOException e) {
                // With force it may have replaced another one: then there is no way back.
                if (!force && !target.isCommitted()) {
                    data.withdraw(e);
                }
                throw e;
            }
        }
        return sizeBytes;
    }

    private static void check(
            Qcow2Header header, @Nullable String dataFile, boolean rawData, Preallocation preallocation) {
        boolean backed = header.backingFile() != null;
        if (dataFile != null && header.version() == VERSION_2) {
            throw new IllegalArgumentException("data_file: an image of compat=0.10 has none");
        }
        if (rawData && dataFile == null) {
            throw new IllegalArgumentException("data_file_raw: needs data_file");
        }
        if (rawData && backed) {
            throw new IllegalArgumentException("data_file_raw: a raw data file cannot have a backing file");
        }
        if (backed && preallocation != Preallocation.OFF && !header.hasSubclusters()) {
            throw new IllegalArgumentException("preallocation: with a backing file it needs extended_l2=on");
        }
    }

    private Preallocation preallocation() {
        String value = options.value("preallocation", "off");
        for (Preallocation each : Preallocation.values()) {
            if (each.name().toLowerCase(Locale.ROOT).equals(value)) {
                return each;
            }
        }
        throw new IllegalArgumentException("preallocation: '" + value + "' is none of off, metadata, falloc, full");
    }

    /** The disk's size in whole sectors. */
    private long size(long backingSize) {
        String text = options.value("size");
        if (text == null && backingSize < 0) {
            throw new IllegalArgumentException("SIZE is missing: how large is the disk to be?");
        }
        long sizeBytes;
        try {
            sizeBytes = text == null ? backingSize : new SizeConverter().convert(text);
        } catch (picocli.CommandLine.TypeConversionException e) {
            throw new IllegalArgumentException("size: " + e.getMessage(), e);
        }
        if (sizeBytes > Long.MAX_VALUE - SECTOR_BYTES) {
            throw new IllegalArgumentException("size: '" + text + "' is larger than any disk");
        }
        return (sizeBytes + SECTOR_BYTES - 1) / SECTOR_BYTES * SECTOR_BYTES;
    }

    /** The size of the backing file's disk; -1 when there is none, or when it is not to be looked at. */
    private long backingSize(Qcow2Header header) throws IOException {
        String backing = header.backingFile();
        if (backing == null || trustBacking) {
            return -1;
        }
        String path = ImageFiles.backingPath(name, backing);
        String format = header.backingFormat();
        if (format == null) {
            try (OfflineFile file = OfflineFile.open(path, false, true)) {
                throw new IllegalArgumentException("backing_fmt is missing: give -F "
                        + ImageFiles.type(file, ImageType.AUTO).name().toLowerCase(Locale.ROOT) + ", as " + path
                        + " looks");
            }
        }
        ImageType type = format.equals("qcow2") ? ImageType.QCOW2 : ImageType.RAW;
        for (ImageDescription image : ImageDescription.chain(path, type, true)) {
            if (Files.exists(Path.of(name)) && Files.isSameFile(Path.of(name), Path.of(image.image()))) {
                throw new IOException(name + ": is in the backing chain that it would have");
            }
        }
        return ImageDescription.of(path, type, true).sizeBytes();
    }

    /** Gives a whole file its name; without force only when nothing has that name. */
    private void commit(TargetFile target) throws IOException {
        if (force) {
            target.commit();
        } else {
            target.commitNew();
        }
    }
}

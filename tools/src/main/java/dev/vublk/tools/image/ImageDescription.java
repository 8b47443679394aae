// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import static dev.vublk.blockdev.qcow2.Qcow2Layout.*;

import dev.vublk.blockdev.ImageType;
import dev.vublk.blockdev.file.OfflineFile;
import dev.vublk.blockdev.qcow2.BitmapDirectory;
import dev.vublk.blockdev.qcow2.Qcow2BitmapsExtension;
import dev.vublk.blockdev.qcow2.Qcow2Check;
import dev.vublk.blockdev.qcow2.Qcow2Header;
import dev.vublk.blockdev.qcow2.SnapshotTable;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * What is to be known of an image without serving it. A value; any thread.
 *
 * @param image its path
 * @param sizeBytes the disk's size
 * @param allocatedBytes space that the file takes
 * @param header the header of a qcow2 image; null for a raw one
 * @param snapshots its internal snapshots
 * @param bitmaps its persistent dirty bitmaps
 */
public record ImageDescription(
        String image,
        long sizeBytes,
        long allocatedBytes,
        @Nullable Qcow2Header header,
        List<SnapshotTable.Entry> snapshots,
        List<BitmapDirectory.Entry> bitmaps) {

    /** Longer chains are not believed. Arbitrary. */
    private static final int CHAIN_MAX = 200;

    public ImageDescription {
        snapshots = List.copyOf(snapshots);
        bitmaps = List.copyOf(bitmaps);
    }

    /**
     * Looks at an image, which must be in the format that it looks like.
     *
     * @param forceShare whether it may be in use
     * @throws IOException it cannot be opened, or is damaged: one line for the user
     */
    public static ImageDescription of(String image, boolean forceShare) throws IOException {
        return of(image, ImageType.AUTO, forceShare);
    }

    /** Looks at an image as one of a format. */
    public static ImageDescription of(String image, ImageType asked, boolean forceShare) throws IOException {
        try (OfflineFile file = OfflineFile.open(image, false, forceShare)) {
            long allocatedBytes = file.status().allocatedBytes();
            if (ImageFiles.type(file, asked) != ImageType.QCOW2) {
                return new ImageDescription(image, file.sizeBytes(), allocatedBytes, null, List.of(), List.of());
            }
            Qcow2Header header = Qcow2Check.readHeader(file);
            Qcow2BitmapsExtension extension = header.bitmaps();
            return new ImageDescription(
                    image,
                    header.sizeBytes() / 512 * 512, // The disk ends with its last whole sector, as in QEMU.
                    allocatedBytes,
                    header,
                    SnapshotTable.read(file, header).entries(),
                    extension == null ? List.of() : BitmapDirectory.read(file, header, extension));
        }
    }

    /**
     * Looks at an image, its backing file, and so on.
     *
     * @throws IOException one of them cannot be opened, is damaged, or is its own backing file: one line for the user
     */
    public static List<ImageDescription> chain(String image, ImageType asked, boolean forceShare) throws IOException {
        List<ImageDescription> chain = new ArrayList<>();
        Set<Object> seen = new LinkedHashSet<>();
        String next = image;
        ImageType type = asked;
        while (next != null) {
            ImageDescription description = of(next, type, forceShare);
            if (!seen.add(identity(next)) || chain.size() == CHAIN_MAX) {
                throw new IOException(next + ": the backing chain of " + image + " comes back to this image");
            }
            chain.add(description);
            next = description.backingPath();
            type = description.backingType();
        }
        return chain;
    }

    private static Object identity(String path) throws IOException {
        return java.nio.file.Path.of(path).toRealPath();
    }

    private ImageType backingType() {
        String format = header == null ? null : header.backingFormat();
        return format == null ? ImageType.AUTO : format.equals("qcow2") ? ImageType.QCOW2 : ImageType.RAW;
    }

    /** Where the backing file is; null when there is none. */
    public @Nullable String backingPath() {
        String name = header == null ? null : header.backingFile();
        return name == null ? null : ImageFiles.backingPath(image, name);
    }

    /** {@code 0.10} or {@code 1.1}. */
    String compat() {
        return header != null && header.version() == VERSION_2 ? "0.10" : "1.1";
    }

    static String compressionName(Qcow2Header header) {
        return header.compressionType() == COMPRESSION_ZSTD ? "zstd" : "zlib";
    }

    static List<String> flags(BitmapDirectory.Entry bitmap) {
        List<String> flags = new ArrayList<>();
        if ((bitmap.flags() & BitmapDirectory.IN_USE) != 0) {
            flags.add("in-use");
        }
        if ((bitmap.flags() & BitmapDirectory.AUTO) != 0) {
            flags.add("auto");
        }
        return flags;
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import dev.vublk.blockdev.ImageInUseException;
import dev.vublk.blockdev.ImageType;
import dev.vublk.blockdev.file.OfflineFile;
import dev.vublk.blockdev.linux.FileStatus.Kind;
import dev.vublk.blockdev.qcow2.Preallocation;
import dev.vublk.blockdev.qcow2.Qcow2Check;
import dev.vublk.blockdev.qcow2.Qcow2Creator;
import dev.vublk.blockdev.qcow2.Qcow2Header;
import dev.vublk.blockdev.qcow2.Qcow2Resize;
import dev.vublk.blockdev.qcow2.ResizeRules;
import dev.vublk.tools.control.ControlClient;
import java.io.IOException;
import java.util.function.LongUnaryOperator;

/** Changes the size of a disk that nobody uses. One thread. */
public final class ImageResize {
    private static final int SECTOR_BYTES = 512;

    private ImageResize() {}

    /**
     * Makes a disk larger or smaller.
     *
     * @param newSize the new size, from the present one
     * @param shrink whether it may become smaller
     * @param preallocation of what a raw image grows by
     * @return the new size
     * @throws IOException it cannot be resized: one line for the user
     */
    public static long run(
            String image, ImageType asked, LongUnaryOperator newSize, boolean shrink, Preallocation preallocation)
            throws IOException {
        try (OfflineFile file = OfflineFile.open(image, true, false)) {
            if (file.status().kind() == Kind.BLOCK_DEVICE && ImageFiles.type(file, asked) != ImageType.QCOW2) {
                throw new IOException(image + ": is a block device: resize it by its own means");
            }
            boolean qcow2 = ImageFiles.type(file, asked) == ImageType.QCOW2;
            Qcow2Header header = qcow2 ? Qcow2Check.readHeader(file) : null;
            long oldBytes = header == null ? file.sizeBytes() : header.sizeBytes();
            long newBytes = rounded(image, newSize.applyAsLong(oldBytes));
            if (newBytes < oldBytes && !shrink) {
                throw new IOException(image + ": would be " + newBytes + " bytes instead of " + oldBytes
                        + ": what is behind that is lost; --shrink says that this is meant");
            }
            if (header == null) {
                resizeRaw(file, oldBytes, newBytes, preallocation);
            } else {
                resizeQcow2(file, header, newBytes, preallocation);
            }
            return newBytes;
        } catch (ImageInUseException inUse) {
            throw inUse.withRemedy(whileInUse(image, asked));
        }
    }

    /**
     * Makes a disk larger that a running vublk serves.
     *
     * @param control the control socket of that vublk
     * @param disk the image's name, its socket, or its number
     * @param newSize the new size, from the present one
     * @return the new size
     * @throws IOException it cannot be made larger: one line for the user
     */
    public static long runServed(String control, String disk, LongUnaryOperator newSize) throws IOException {
        try (ControlClient client = ControlClient.connect(control, disk)) {
            long oldBytes = client.ask(client.diskCommand("size")).path("size").asLong();
            long newBytes = rounded(disk, newSize.applyAsLong(oldBytes));
            return client.ask(client.diskCommand("resize").put("size", newBytes))
                    .path("size")
                    .asLong();
        }
    }

    private static String whileInUse(String image, ImageType asked) throws IOException {
        try (OfflineFile file = OfflineFile.open(image, false, true)) {
            return ImageFiles.type(file, asked) == ImageType.QCOW2
                    ? "a disk that vublk serves with --control PATH grows by vublk resize --control PATH"
                    : "a raw disk that vublk serves grows by truncate -s SIZE and then SIGHUP to vublk";
        }
    }

    private static long rounded(String image, long bytes) throws IOException {
        if (bytes <= 0) {
            throw new IOException(image + ": a disk of " + bytes + " bytes makes no sense");
        }
        return (bytes + SECTOR_BYTES - 1) / SECTOR_BYTES * SECTOR_BYTES;
    }

    private static void resizeRaw(OfflineFile file, long oldBytes, long newBytes, Preallocation preallocation)
            throws IOException {
        if (newBytes <= oldBytes && preallocation != Preallocation.OFF) {
            throw new IOException(file.name() + ": preallocation is for raw images that grow: off, falloc or full");
        }
        try {
            if (preallocation == Preallocation.FALLOC) {
                file.allocate(oldBytes, newBytes - oldBytes);
            } else if (preallocation == Preallocation.FULL) {
                Qcow2Creator.writeZeroes(file, oldBytes, newBytes - oldBytes);
            }
            file.setSize(newBytes);
            file.sync();
        } catch (IOException failure) {
            if (newBytes > oldBytes) {
                restoreSize(file, oldBytes, failure);
            }
            throw failure;
        }
    }

    private static boolean hasOldSize(OfflineFile file, Qcow2Header old, IOException failure) {
        try {
            return Qcow2Check.readHeader(file).sizeBytes() == old.sizeBytes();
        } catch (IOException e) {
            failure.addSuppressed(e);
            return false;
        }
    }

    /** What a failed attempt to let it grow may have left. */
    private static void restoreSize(OfflineFile file, long oldBytes, IOException failure) {
        try {
            file.setSize(oldBytes);
        } catch (IOException e) {
            failure.addSuppressed(e);
        }
    }

    private static void resizeQcow2(OfflineFile file, Qcow2Header header, long newBytes, Preallocation preallocation)
            throws IOException {
        if (preallocation != Preallocation.OFF) {
            throw new IOException(file.name() + ": what a qcow2 image grows by cannot be preallocated");
        }
        String backing = header.backingFile();
        if (backing != null && newBytes > header.sizeBytes()) {
            ImageDescription below = ImageDescription.of(ImageFiles.backingPath(file.name(), backing), true);
            ResizeRules.checkBacking(file.name(), header.sizeBytes(), below.sizeBytes());
        }
        String dataFile = header.dataFile();
        if (dataFile == null) {
            Qcow2Resize.run(file, newBytes);
            return;
        }
        try (OfflineFile data = OfflineFile.open(dataFile, true, false)) {
            long oldDataBytes = data.sizeBytes();
            try {
                if (newBytes > header.sizeBytes()) {
                    data.setSize(newBytes);
                    data.sync();
                }
                Qcow2Resize.run(file, newBytes);
            } catch (IOException failure) {
                if (hasOldSize(file, header, failure)) {
                    restoreSize(data, oldDataBytes, failure);
                }
                throw failure;
            }
            data.setSize(newBytes);
            data.sync();
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import dev.vublk.blockdev.BlockOpenException;
import dev.vublk.blockdev.DiskLifetime;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.FileStatus;
import dev.vublk.blockdev.linux.FileStatus.Kind;
import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.blockdev.linux.PosixFile;
import dev.vublk.blockdev.linux.ZoneIoctl;
import java.io.IOException;
import org.jspecify.annotations.Nullable;

/** Finds out about an image without serving it: opens it for reading only and takes no locks. Any thread. */
public final class FileProbe {
    private FileProbe() {}

    /** Everything to be known of the file or block device at {@code image}. */
    public static ImageInfo inspect(String image) throws BlockOpenException {
        FileStatus status;
        try {
            status = FileStatus.of(image);
        } catch (IOException e) {
            throw new BlockOpenException(image + ": cannot be opened: " + e.getMessage());
        }
        if (status.kind() != Kind.REGULAR_FILE && status.kind() != Kind.BLOCK_DEVICE) {
            throw new BlockOpenException(image + ": is " + status.kind() + ", not a regular file or a block device");
        }
        int fd = PosixFile.open(image, PosixFile.O_RDONLY);
        if (fd < 0) {
            throw new BlockOpenException(image + ": cannot be opened for reading: " + Errno.describe(fd));
        }
        try {
            return inspect(image, fd);
        } catch (BlockOpenException e) {
            throw e;
        } catch (IOException e) {
            throw new BlockOpenException(image + ": cannot be measured: " + e.getMessage());
        } finally {
            PosixFile.close(fd);
        }
    }

    /**
     * The format that a file's first bytes give away; null where there are none to be read, as of a directory.
     *
     * @throws BlockOpenException they cannot be read: they are not taken for those of a raw image, whose tables a guest would see
     */
    public static @Nullable ImageFormat format(String image) throws BlockOpenException {
        try {
            Kind kind = FileStatus.of(image).kind();
            if (kind != Kind.REGULAR_FILE && kind != Kind.BLOCK_DEVICE) {
                return null;
            }
        } catch (IOException e) {
            throw new BlockOpenException(image + ": cannot be opened: " + e.getMessage());
        }
        int fd = PosixFile.open(image, PosixFile.O_RDONLY);
        if (fd < 0) {
            throw new BlockOpenException(image + ": cannot be opened for reading: " + Errno.describe(fd));
        }
        try {
            return ImageFormat.detect(read(image, fd, 0, ImageFormat.HEAD_BYTES), new byte[0]);
        } finally {
            PosixFile.close(fd);
        }
    }

    private static ImageInfo inspect(String image, int fd) throws IOException {
        FileStatus status = FileStatus.of(fd);
        FileGeometry geometry = FileGeometry.of(fd, status);
        DirectAlignment direct = direct(image, status, geometry);
        boolean canDirect = direct.offsetBytes() > 1;
        return new ImageInfo(
                image,
                geometry.blockDevice(),
                geometry.sizeBytes(),
                geometry.blockDevice() ? 0 : status.allocatedBytes(),
                geometry.logicalBlockBytes(),
                geometry.physicalBlockBytes(),
                geometry.minIoBytes(),
                geometry.optimalIoBytes(),
                geometry.canDiscard(),
                geometry.discardGranularityBytes(),
                canDirect,
                canDirect ? direct.memoryBytes() : 0,
                canDirect ? direct.offsetBytes() : 0,
                geometry.blockDevice() && QueueLimits.of(status.device()).hostManaged()
                        ? Math.max(0, ZoneIoctl.zoneBytes(fd))
                        : 0,
                lifetime(fd, geometry, status),
                format(image, fd, geometry.sizeBytes()));
    }

    private static @Nullable DiskLifetime lifetime(int fd, FileGeometry geometry, FileStatus status) {
        DeviceHealth health = DeviceHealth.of(fd, geometry.blockDevice(), status.device());
        long packed = health == null ? -1 : health.lifetime();
        return packed < 0 ? null : DiskLifetime.ofPacked(packed);
    }

    /** What O_DIRECT wants, found out on a descriptor of its own; {@link DirectAlignment#NONE} where there is none. */
    private static DirectAlignment direct(String image, FileStatus status, FileGeometry geometry)
            throws BlockOpenException {
        if (status.directKnown() && status.directOffsetBytes() == 0) {
            return DirectAlignment.NONE;
        }
        int fd = PosixFile.open(image, PosixFile.O_RDONLY | PosixFile.O_DIRECT);
        if (fd == -Errno.EINVAL) {
            return DirectAlignment.NONE;
        }
        if (fd < 0) {
            throw new BlockOpenException(image + ": cannot be opened for reading: " + Errno.describe(fd));
        }
        try {
            return DirectAlignment.of(fd, status, geometry.logicalBlockBytes());
        } finally {
            PosixFile.close(fd);
        }
    }

    private static ImageFormat format(String image, int fd, long sizeBytes) throws BlockOpenException {
        byte[] head = read(image, fd, 0, (int) Math.min(sizeBytes, ImageFormat.HEAD_BYTES));
        int tailBytes = (int) Math.min(sizeBytes, ImageFormat.TAIL_BYTES);
        return ImageFormat.detect(head, read(image, fd, sizeBytes - tailBytes, tailBytes));
    }

    private static byte[] read(String image, int fd, long offsetBytes, int lengthBytes) throws BlockOpenException {
        long buffer = NativeMemory.allocateZeroed(Math.max(lengthBytes, 1));
        try {
            int result = PosixFile.read(fd, buffer, lengthBytes, offsetBytes);
            if (result < 0) {
                throw new BlockOpenException(image + ": cannot be read at offset " + offsetBytes
                        + " to see which format it has: " + Errno.describe(result));
            }
            byte[] bytes = new byte[result];
            NativeMemory.get(buffer, bytes, 0, result);
            return bytes;
        } finally {
            NativeMemory.free(buffer);
        }
    }
}

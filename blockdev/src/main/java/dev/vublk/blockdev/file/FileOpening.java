// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import dev.vublk.blockdev.BlockLimits;
import dev.vublk.blockdev.BlockOpenException;
import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.BlockOptions.IoEngine;
import dev.vublk.blockdev.BlockOptions.Locking;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.FileStatus;
import dev.vublk.blockdev.linux.FileStatus.Kind;
import dev.vublk.blockdev.linux.PosixFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/** The way from options to an opened, locked and measured file, with one clear line for each way to fail. Any thread. */
final class FileOpening {
    /**
     * Longest discard or write-zeroes: a whole disk takes few of them, and none keeps a worker or the file's lock busy
     * for minutes where it has to write zeroes. Otherwise arbitrary.
     */
    private static final long MAX_RANGE_BYTES = 1L << 30;

    /** A mapping may reach behind the end of a file that will grow, as long as nobody touches that. Arbitrary. */
    private static final long LEAST_MAPPING_BYTES = 1L << 20;

    private final BlockOptions options;

    private FileOpening(BlockOptions options) {
        this.options = options;
    }

    static SharedFile open(BlockOptions options) throws BlockOpenException {
        FileOpening opening = new FileOpening(options);
        opening.checkOptions();
        FileStatus status = opening.status();
        opening.checkKind(status);
        int fd = opening.openFile(status.kind());
        try {
            return opening.measure(fd);
        } catch (Throwable failure) {
            PosixFile.close(fd);
            throw failure;
        }
    }

    /** Opens a file that holds an image of another format, or a part of one: of any size, and growing when written behind its end. */
    static SharedFile openContainer(BlockOptions options) throws BlockOpenException {
        FileOpening opening = new FileOpening(options);
        opening.checkOptions();
        FileStatus status = opening.status();
        opening.checkKind(status);
        int fd = opening.openFile(status.kind());
        try {
            return opening.measureContainer(fd);
        } catch (Throwable failure) {
            PosixFile.close(fd);
            throw failure;
        }
    }

    private void checkOptions() throws BlockOpenException {
        if (options.forceShare() && !options.readOnly()) {
            throw refused("force-share=on ignores everybody's locks and needs read-only=on");
        }
    }

    /** Before opening: opening a FIFO would wait for a writer, opening some devices has effects. */
    private FileStatus status() throws BlockOpenException {
        try {
            return FileStatus.of(options.image());
        } catch (IOException e) {
            throw refused("cannot be opened: " + e.getMessage());
        }
    }

    private void checkKind(FileStatus status) throws BlockOpenException {
        if (status.kind() != Kind.REGULAR_FILE && status.kind() != Kind.BLOCK_DEVICE) {
            throw refused("is " + status.kind() + ", not a regular file or a block device");
        }
    }

    private int openFile(Kind kind) throws BlockOpenException {
        // Never O_NONBLOCK: io_uring would then fail with EAGAIN instead of waiting for the disk.
        boolean direct = options.cacheMode().direct();
        int flags = (options.readOnly() ? PosixFile.O_RDONLY : PosixFile.O_RDWR) | (direct ? PosixFile.O_DIRECT : 0);
        if (kind == Kind.BLOCK_DEVICE && !options.readOnly() && options.locking() == Locking.ON && !options.shareRw()) {
            // Image locks know nothing of the kernel's own users: a guest must not write to a mounted device. With
            // deferred
            // locking, the process that a guest comes from has opened the device so.
            flags |= PosixFile.O_EXCL;
        }
        int fd = PosixFile.open(options.image(), flags);
        if (fd >= 0) {
            return fd;
        }
        throw switch (-fd) {
            case Errno.EINVAL -> direct ? directRefused() : refused("cannot be opened: " + Errno.describe(fd));
            case Errno.EACCES, Errno.EPERM, Errno.EROFS ->
                refused("cannot be opened for " + (options.readOnly() ? "reading: " : "reading and writing: ")
                        + Errno.describe(fd) + (options.readOnly() ? "" : "; read-only=on needs less"));
            case Errno.EBUSY ->
                refused("is in use by this host (mounted, part of another device, or opened exclusively);"
                        + " locking=off at your own risk");
            default -> refused("cannot be opened: " + Errno.describe(fd));
        };
    }

    private SharedFile measure(int fd) throws BlockOpenException {
        FileStatus status = statusOf(fd);
        FileGeometry geometry = geometryOf(fd, status);
        if (geometry.sizeBytes() == 0) {
            throw refused(
                    geometry.blockDevice()
                            ? "has no medium: its size is 0"
                            : "is empty: give it a size first, for example with truncate -s 10G");
        }
        DirectAlignment alignment = alignmentOf(fd, status, geometry);
        DeviceHealth health = DeviceHealth.of(fd, geometry.blockDevice(), status.device());
        int logical = options.logicalBlockBytes() == 0 ? geometry.logicalBlockBytes() : options.logicalBlockBytes();
        DiskExtent extent =
                DiskExtent.of(options, geometry.sizeBytes(), geometry.blockDevice(), unitBytes(logical, alignment));
        BlockLimits limits = limits(geometry, alignment, logical, extent.sizeBytes(), health != null);
        if (options.locking() == Locking.ON) {
            ImageLock.acquire(fd, options);
        }
        FileMapping mapping = mapping(fd, geometry, geometry.sizeBytes());
        return new SharedFile(fd, options, geometry, alignment, limits, extent, mapping, health);
    }

    private SharedFile measureContainer(int fd) throws BlockOpenException {
        FileStatus status = statusOf(fd);
        FileGeometry geometry = geometryOf(fd, status);
        DirectAlignment alignment = alignmentOf(fd, status, geometry);
        if (options.locking() == Locking.ON) {
            ImageLock.acquireContainer(fd, options);
        }
        DiskExtent extent = DiskExtent.ofContainer(options, geometry.sizeBytes(), geometry.blockDevice());
        BlockLimits limits = limits(geometry, alignment, geometry.logicalBlockBytes(), geometry.sizeBytes(), false);
        FileMapping mapping = mapping(fd, geometry, Math.max(geometry.sizeBytes(), LEAST_MAPPING_BYTES));
        return new SharedFile(fd, options, geometry, alignment, limits, extent, mapping, null);
    }

    private FileStatus statusOf(int fd) throws BlockOpenException {
        FileStatus status;
        try {
            status = FileStatus.of(fd);
        } catch (IOException e) {
            throw refused("cannot be measured: " + e.getMessage());
        }
        checkKind(status); // the path may name something else by now
        return status;
    }

    private FileGeometry geometryOf(int fd, FileStatus status) throws BlockOpenException {
        try {
            return FileGeometry.of(fd, status);
        } catch (IOException e) {
            throw refused("cannot be measured: " + e.getMessage());
        }
    }

    private DirectAlignment alignmentOf(int fd, FileStatus status, FileGeometry geometry) throws BlockOpenException {
        if (!options.cacheMode().direct()) {
            return DirectAlignment.NONE;
        }
        if (status.directKnown() && status.directOffsetBytes() == 0) {
            throw directRefused();
        }
        return DirectAlignment.of(fd, status, geometry.logicalBlockBytes());
    }

    /** The file's pages, for the mmap engine; null for another one. */
    private @Nullable FileMapping mapping(int fd, FileGeometry geometry, long lengthBytes) throws BlockOpenException {
        boolean demanded = options.engine() == IoEngine.MMAP;
        if (!demanded && options.engine() != IoEngine.AUTO) {
            return null;
        }
        // A device's node is in memory too, on devtmpfs; the device is not.
        if (geometry.blockDevice() || PosixFile.fileSystemType(fd) != PosixFile.TMPFS_MAGIC) {
            if (demanded) {
                throw refused("engine mmap is for files in memory (tmpfs), where no page must be waited for;"
                        + " use engine io_uring, or auto");
            }
            return null;
        }
        if (!demanded && hostSwaps()) {
            return null;
        }
        try {
            return FileMapping.of(fd, lengthBytes, !options.readOnly(), mayWrite());
        } catch (IOException e) {
            if (demanded) {
                throw refused("cannot be mapped: " + e.getMessage());
            }
            return null;
        }
    }

    private boolean mayWrite() {
        try {
            return Files.isWritable(Path.of(options.image()));
        } catch (InvalidPathException e) {
            return false; // This JVM's locale has no letters for the name.
        }
    }

    /** Whether pages of memory may be on a disk, where the loop would wait for them. */
    private static boolean hostSwaps() {
        try {
            return Files.readAllLines(Path.of("/proc/swaps")).size() > 1; // the first line is a heading
        } catch (IOException e) {
            return true;
        }
    }

    /** What the disk's size is a multiple of. */
    private static int unitBytes(int logicalBlockBytes, DirectAlignment alignment) {
        return Math.max(logicalBlockBytes, alignment.offsetBytes());
    }

    private BlockLimits limits(
            FileGeometry geometry, DirectAlignment alignment, int logical, long sizeBytes, boolean tellsLifetime) {
        int physical = Math.max(Math.max(logical, geometry.physicalBlockBytes()), alignment.offsetBytes());
        int minIo = Math.max(logical, geometry.minIoBytes());
        return new BlockLimits(
                sizeBytes,
                options.readOnly(),
                logical,
                physical,
                minIo,
                geometry.optimalIoBytes(),
                options.discard() && geometry.canDiscard() && !options.readOnly(),
                Math.max(logical, geometry.discardGranularityBytes()),
                MAX_RANGE_BYTES,
                !options.readOnly(),
                MAX_RANGE_BYTES,
                true,
                options.cacheMode().writeback(),
                // A device erases whole sectors of its own, whatever block size is presented.
                options.readOnly() ? 0 : Math.max(logical, geometry.logicalBlockBytes()),
                tellsLifetime,
                null);
    }

    private BlockOpenException directRefused() {
        return refused("its file system has no O_DIRECT, which cache="
                + options.cacheMode().name().toLowerCase(Locale.ROOT) + " needs; use cache="
                + (options.cacheMode().writeback() ? "writeback" : "writethrough"));
    }

    private BlockOpenException refused(String why) {
        return new BlockOpenException(options.image() + ": " + why);
    }
}

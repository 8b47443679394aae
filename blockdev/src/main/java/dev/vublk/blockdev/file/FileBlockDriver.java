// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockLimits;
import dev.vublk.blockdev.BlockOpenException;
import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.BlockOptions.IoEngine;
import dev.vublk.blockdev.BlockOptions.Locking;
import dev.vublk.blockdev.IoContext;
import dev.vublk.blockdev.IoRing;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.FileStatus;
import dev.vublk.blockdev.linux.PosixFile;
import java.io.IOException;
import java.io.UncheckedIOException;

/** A raw disk in a regular file or on a host block device. Thread-safe. */
public final class FileBlockDriver implements BlockDriver {
    private final SharedFile file;

    /** Whether the image's lock is held, or need not be. */
    private boolean active;

    /** The driver of a file that was opened already. */
    FileBlockDriver(SharedFile file) {
        this.file = file;
        active = file.options.locking() != Locking.DEFERRED;
    }

    /** Opens and locks the image; whatever is wrong with it is one line in the exception. */
    public static FileBlockDriver open(BlockOptions options) throws BlockOpenException {
        return new FileBlockDriver(FileOpening.open(options));
    }

    @Override
    public BlockLimits limits() {
        return file.limits.withSizeBytes(file.extent.sizeBytes());
    }

    @Override
    public boolean refreshSize() throws IOException {
        long fileBytes;
        try {
            fileBytes = FileGeometry.of(file.fd, FileStatus.of(file.fd)).sizeBytes();
        } catch (IOException e) {
            throw new IOException(file.options.image() + ": cannot be measured: " + e.getMessage(), e);
        }
        boolean grown = file.extent.refresh(fileBytes);
        if (grown && file.mapping != null) {
            file.mapping.growTo(fileBytes);
        }
        return grown;
    }

    @Override
    public synchronized boolean grow(long sizeBytes) throws IOException {
        String image = file.options.image();
        if (FileStatus.of(file.fd).kind() != FileStatus.Kind.REGULAR_FILE) {
            throw new IOException(
                    image + ": is a block device: make it larger by its own means, then send vublk SIGHUP");
        }
        if (!active) {
            throw new IOException(image + ": no guest uses it here now, and another host may");
        }
        if (sizeBytes > file.extent.fileBytes()) {
            int result = PosixFile.ftruncate(file.fd, sizeBytes);
            if (result < 0) {
                throw new IOException(image + ": could not be made larger: " + Errno.describe(result));
            }
        }
        return refreshSize();
    }

    @Override
    public synchronized void activate() throws BlockOpenException {
        if (!active) {
            ImageLock.acquire(file.fd, file.options);
            active = true;
        }
    }

    @Override
    public synchronized void deactivate() {
        if (active) {
            ImageLock.release(file.fd);
            active = false;
        }
    }

    /**
     * This disk on one loop.
     *
     * @throws UncheckedIOException caused by a {@link BlockOpenException}, when io_uring was asked for and the loop has
     *     none
     */
    @Override
    public BlockChannel openChannel(IoContext context) {
        FileIo io = engine(file, context);
        file.openChannels.incrementAndGet();
        return new FileBlockChannel(file, context, io);
    }

    /** The engine that a file's options ask for, on one loop. */
    static FileIo engine(SharedFile file, IoContext context) {
        if (file.mapping != null) {
            return new MappedFileIo(context, file.mapping, file.fd);
        }
        IoEngine engine = file.options.engine();
        IoRing ring = engine == IoEngine.THREADS ? null : context.ring();
        if (ring != null) {
            return new UringFileIo(context, ring, file.fd);
        }
        if (engine == IoEngine.IO_URING) {
            throw new UncheckedIOException(new BlockOpenException(
                    file.options.image() + ": engine io_uring was asked for, but io_uring is not available here;"
                            + " use engine threads, or auto"));
        }
        return new WorkerFileIo(context, file.fd);
    }

    /** The open file, for what only its kind of device has; it stays this driver's. */
    public int descriptor() {
        return file.fd;
    }

    /** Makes every write stable that has completed: 0 or a negative errno. Blocks; for set-up and closing. */
    public int syncBlocking() {
        return file.options.cacheMode().noFlush() ? 0 : PosixFile.fdatasync(file.fd);
    }

    @Override
    public void close() {
        file.close();
    }
}

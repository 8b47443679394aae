// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockLimits;
import dev.vublk.blockdev.BlockOpenException;
import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.BlockOptions.Locking;
import dev.vublk.blockdev.BlockingIoContext;
import dev.vublk.blockdev.IoContext;
import dev.vublk.blockdev.linux.FileStatus;
import java.io.IOException;

/**
 * A file or block device that holds an image of another format, or a part of one: an image's own file, its external data file, a
 * raw backing file. Unlike a guest's disk it has any size, reads as zeroes behind its end, and grows when it is written there.
 * Thread-safe.
 */
public final class ContainerFile implements BlockDriver {
    private static final int SECTOR_BYTES = FileGeometry.SECTOR_BYTES;

    private final SharedFile file;

    /** Whether the file's lock is held, or need not be. */
    private boolean active;

    /** The container in a file that was opened already. */
    ContainerFile(SharedFile file) {
        this.file = file;
        active = file.options.locking() != Locking.DEFERRED;
    }

    /** Opens and locks the file; whatever is wrong with it is one line in the exception. */
    public static ContainerFile open(BlockOptions options) throws BlockOpenException {
        return new ContainerFile(FileOpening.openContainer(options));
    }

    /** Its path, as it was opened. */
    public String path() {
        return file.options.image();
    }

    public boolean isReadOnly() {
        return file.options.readOnly();
    }

    public boolean isBlockDevice() {
        return file.geometry.blockDevice();
    }

    /** How far the file reaches, to our knowledge: any number of bytes. */
    public long sizeBytes() {
        return file.extent.fileBytes();
    }

    /** As a disk; its size is rounded up to whole sectors, the last of which is filled up with zeroes. */
    @Override
    public BlockLimits limits() {
        return file.limits.withSizeBytes(Math.ceilDiv(sizeBytes(), SECTOR_BYTES) * SECTOR_BYTES);
    }

    /** Looks again how far the file reaches: somebody else may have written it. */
    @Override
    public boolean refreshSize() throws IOException {
        long before = sizeBytes();
        try {
            file.extent.resize(FileGeometry.of(file.fd, FileStatus.of(file.fd)).sizeBytes());
        } catch (IOException e) {
            throw new IOException(path() + ": cannot be measured: " + e.getMessage(), e);
        }
        return sizeBytes() > before;
    }

    /** Whether something that was written could not be made stable; that has been logged, once. */
    public boolean hasLostWrites() {
        return file.flushes.failure() != 0;
    }

    @Override
    public synchronized void activate() throws BlockOpenException {
        if (!active) {
            ImageLock.acquireContainer(file.fd, file.options);
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

    /** The file on one loop; throws as {@link FileBlockDriver#openChannel}. */
    @Override
    public ContainerChannel openChannel(IoContext context) {
        FileIo io = FileBlockDriver.engine(file, context);
        file.openChannels.incrementAndGet();
        return new ContainerChannel(file, context, io);
    }

    /** The file on the calling thread, whatever the engine: every call blocks. For opening an image, and for tools. */
    public ContainerChannel openBlockingChannel() {
        IoContext context = new BlockingIoContext();
        file.openChannels.incrementAndGet();
        return new ContainerChannel(file, context, new WorkerFileIo(context, file.fd));
    }

    @Override
    public void close() {
        file.close();
    }
}

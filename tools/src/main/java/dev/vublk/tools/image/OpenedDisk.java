// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockDrivers;
import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.BlockOptions.IoEngine;
import dev.vublk.blockdev.BlockStatus;
import dev.vublk.blockdev.BlockingIoContext;
import dev.vublk.blockdev.ImageType;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.Iovec;
import dev.vublk.blockdev.linux.NativeMemory;
import java.io.IOException;
import org.jspecify.annotations.Nullable;

/** A disk opened for reading by a tool: calls block, and throw one line for the user. Belongs to one thread. */
final class OpenedDisk implements AutoCloseable {
    private final String image;
    private final BlockDriver driver;
    private final BlockChannel channel;
    private final long iov = NativeMemory.allocateZeroed(Iovec.SIZE_BYTES);

    private OpenedDisk(String image, BlockDriver driver) {
        this.image = image;
        this.driver = driver;
        channel = driver.openChannel(new BlockingIoContext());
    }

    /**
     * Opens an image and its backing files.
     *
     * @param snapshot id or name of the internal snapshot to read; null for the disk as it is
     */
    static OpenedDisk open(String image, ImageType type, @Nullable String snapshot, boolean forceShare)
            throws IOException {
        BlockOptions options = BlockOptions.of(image)
                .withReadOnly(true)
                .withType(type)
                .withSnapshot(snapshot)
                .withEngine(IoEngine.THREADS)
                .withForceShare(forceShare);
        return new OpenedDisk(image, BlockDrivers.open(options));
    }

    String image() {
        return image;
    }

    long sizeBytes() {
        return driver.limits().sizeBytes();
    }

    /** What is known of the beginning of a range. */
    void status(long offsetBytes, long lengthBytes, BlockStatus out) throws IOException {
        check(channel.status(offsetBytes, lengthBytes, out), "cannot tell what is at offset " + offsetBytes);
    }

    /** Reads all of a range into native memory. */
    void read(long offsetBytes, long address, int lengthBytes) throws IOException {
        Iovec.set(iov, address, lengthBytes);
        int result = channel.readv(offsetBytes, iov, 1, lengthBytes);
        if (result < 0) {
            String where = FailingFile.describe(channel, image, offsetBytes, iov, address, lengthBytes);
            check(result, "cannot be read at offset " + offsetBytes + where);
        }
    }

    private void check(int result, String what) throws IOException {
        if (result < 0) {
            throw new IOException(image + ": " + what + ": " + Errno.describe(result));
        }
    }

    @Override
    public void close() {
        channel.close();
        driver.close();
        NativeMemory.free(iov);
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockingIoContext;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.Iovec;
import dev.vublk.blockdev.linux.NativeMemory;
import java.io.IOException;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.jspecify.annotations.Nullable;

/** A disk that is there already, a block device or an image of any format, written through its driver. */
final class ChannelTarget implements ImageTarget {
    /** What small writes are gathered to; any power of two that is no less than a sector would do. */
    private static final int UNIT_BYTES = 4096;

    private final BlockDriver driver;
    private final String name;
    private final boolean isZero;
    private final boolean storesZeroes;

    /** Channels that no thread uses now. */
    private final ConcurrentLinkedQueue<Channel> idle = new ConcurrentLinkedQueue<>();

    /**
     * @param driver is closed with this target
     * @param sizeBytes the source's size, which must fit, or {@link ImageSource#UNKNOWN}
     * @param isZero whether the disk reads as zeroes, so that these need not be written
     * @param storesZeroes whether zeroes are written like data
     */
    ChannelTarget(BlockDriver driver, String name, long sizeBytes, boolean isZero, boolean storesZeroes)
            throws IOException {
        this.driver = driver;
        this.name = name;
        this.isZero = isZero;
        this.storesZeroes = storesZeroes;
        checkSize(sizeBytes);
    }

    private void checkSize(long sizeBytes) throws IOException {
        long room = driver.limits().sizeBytes();
        if (sizeBytes > room) {
            throw new IOException(name + ": is too small: it has " + room + " bytes, the source " + sizeBytes);
        }
    }

    @Override
    public int unitBytes() {
        return UNIT_BYTES;
    }

    @Override
    public void write(Chunk chunk) throws IOException {
        checkSize(chunk.endBytes());
        Channel polled = idle.poll();
        Channel channel = polled == null ? new Channel() : polled;
        try {
            for (int i = 0; i < chunk.runCount(); i++) {
                long start = chunk.runStart(i);
                long length = chunk.runEnd(i) - start;
                if (chunk.kind(i) == Chunk.Kind.DATA) {
                    channel.write(chunk.offsetBytes() + start, chunk.address(start), length);
                } else if (storesZeroes || !isZero) {
                    channel.writeZeroes(chunk.offsetBytes() + start, length);
                }
            }
        } finally {
            idle.add(channel);
        }
    }

    @Override
    public void finish(long sizeBytes) throws IOException {
        Channel polled = idle.poll();
        Channel channel = polled == null ? new Channel() : polled;
        try {
            channel.flush();
        } finally {
            idle.add(channel);
        }
    }

    @Override
    public void close() {
        @Nullable Channel channel = idle.poll();
        while (channel != null) {
            channel.close();
            channel = idle.poll();
        }
        driver.close();
    }

    /** The disk on one thread, and what a call needs. */
    private final class Channel {
        private final BlockChannel blocks = driver.openChannel(new BlockingIoContext());
        private final long iovec = NativeMemory.allocateZeroed(Iovec.SIZE_BYTES);
        private final long rangeBytesMax = Math.max(1 << 20, driver.limits().maxWriteZeroesBytes()) & -UNIT_BYTES;

        private void write(long offset, long address, long length) throws IOException {
            Iovec.set(iovec, address, length);
            check(blocks.writev(offset, iovec, 1, length, false), offset);
        }

        private void writeZeroes(long offset, long length) throws IOException {
            for (long done = 0; done < length; done += rangeBytesMax) {
                long now = Math.min(rangeBytesMax, length - done);
                check(blocks.writeZeroes(offset + done, now, !storesZeroes, false), offset + done);
            }
        }

        private void flush() throws IOException {
            int result = blocks.flush();
            if (result < 0) {
                throw new IOException(name + ": cannot be made stable: " + Errno.describe(result));
            }
        }

        private void check(int result, long offset) throws IOException {
            if (result < 0) {
                throw new IOException(name + ": cannot be written at offset " + offset + ": " + Errno.describe(result));
            }
        }

        private void close() {
            blocks.close();
            NativeMemory.free(iovec);
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockStatus;
import dev.vublk.blockdev.BlockingIoContext;
import dev.vublk.blockdev.linux.Errno;
import java.io.IOException;

/**
 * A disk that is read through its driver. Holes and zeroes that the driver knows of are never read: long ones are handed out as
 * one piece without data.
 */
final class DriverSource implements ImageSource {
    /** The longest piece without data: progress is seen, and who wants to stop is heard. Arbitrary. */
    private static final long HOLE_BYTES_MAX = 1L << 30;

    private final BlockDriver driver;
    private final String name;
    private final int chunkBytes;
    private final int unitBytes;
    private final BrokenSectors broken;
    private final long sizeBytes;

    // The cursor, guarded by this.
    private long position;
    /** The disk has data up to here, as far as has been asked. */
    private long dataEndBytes;

    /**
     * @param driver is closed with this source
     * @param unitBytes parts of such a unit that read as zeroes are zeroed in the buffer when other parts have data
     * @param startBytes where to begin, a multiple of {@code chunkBytes}
     */
    DriverSource(
            BlockDriver driver, String name, int chunkBytes, int unitBytes, long startBytes, BrokenSectors broken) {
        this.driver = driver;
        this.name = name;
        this.chunkBytes = chunkBytes;
        this.unitBytes = unitBytes;
        this.broken = broken;
        sizeBytes = driver.limits().sizeBytes();
        position = startBytes;
    }

    @Override
    public long sizeBytes() {
        return sizeBytes;
    }

    @Override
    public int chunkBytes() {
        return chunkBytes;
    }

    @Override
    public Reader openReader() {
        return new DriverReader(driver.openChannel(new BlockingIoContext()));
    }

    @Override
    public void close() {
        driver.close();
    }

    private final class DriverReader implements Reader {
        private final BlockChannel channel;
        private final DiskReading reading;
        private final BlockStatus status = new BlockStatus();

        private DriverReader(BlockChannel channel) {
            this.channel = channel;
            reading = new DiskReading(channel, name, broken);
        }

        @Override
        public boolean next(Chunk chunk) throws IOException {
            long offset;
            int length;
            boolean allData;
            synchronized (DriverSource.this) {
                offset = position;
                if (offset >= sizeBytes) {
                    return false;
                }
                length = (int) Math.min(chunkBytes, sizeBytes - offset);
                long hole = offset < dataEndBytes ? 0 : wholeHole(offset);
                position += hole > 0 ? hole : length;
                chunk.begin(offset);
                chunk.add(Chunk.Kind.ZERO, hole);
                if (hole > 0) {
                    return true;
                }
                allData = offset + length <= dataEndBytes;
            }
            if (allData) {
                reading.read(offset, chunk.address(0), length);
                chunk.add(Chunk.Kind.DATA, length);
                chunk.zeroTail(unitBytes);
            } else {
                readRuns(chunk, offset, length);
            }
            return true;
        }

        /** How many bytes from here on are whole chunks of zeroes, 0 for none; notes where data ends otherwise. */
        private long wholeHole(long offset) throws IOException {
            askStatus(offset, Math.min(HOLE_BYTES_MAX, sizeBytes - offset));
            if (!status.zero) {
                dataEndBytes = offset + status.lengthBytes;
                return 0;
            }
            return offset + status.lengthBytes == sizeBytes
                    ? status.lengthBytes
                    : status.lengthBytes / chunkBytes * chunkBytes;
        }

        private void readRuns(Chunk chunk, long offset, int length) throws IOException {
            long at = 0;
            while (at < length) {
                askStatus(offset + at, length - at);
                if (!status.zero) {
                    reading.read(offset + at, chunk.address(at), (int) status.lengthBytes);
                }
                chunk.add(status.zero ? Chunk.Kind.ZERO : Chunk.Kind.DATA, status.lengthBytes);
                at += status.lengthBytes;
            }
            chunk.zeroPartsOfUnits(unitBytes);
        }

        private void askStatus(long offset, long length) throws IOException {
            int result = channel.status(offset, length, status);
            if (result < 0) {
                throw new IOException(
                        name + ": cannot tell what is at offset " + offset + ": " + Errno.describe(result));
            }
        }

        @Override
        public void close() {
            reading.close();
            channel.close();
        }
    }
}

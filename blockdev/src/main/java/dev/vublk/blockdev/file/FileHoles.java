// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import dev.vublk.blockdev.BlockStatus;
import dev.vublk.blockdev.IoContext;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.PosixFile;

/**
 * Where a file has holes, by {@code lseek(2)}. For tools that copy and show images, not for guests: each answer is a system
 * call on a worker, and allocates. Belongs to one channel.
 */
final class FileHoles {
    // Bytes known to be data. A search for the next hole passes over all data before it, and an image whose clusters
    // are scattered asks once for each. What has become a hole since may be called data: it reads as zeroes all the
    // same.
    private long dataStartBytes;
    private long dataEndBytes;

    /** As {@link dev.vublk.blockdev.BlockChannel#status}. A device, or a file system that knows no holes, is all data. */
    int status(SharedFile file, IoContext context, long offsetBytes, long lengthBytes, BlockStatus out) {
        long fileBytes = file.extent.fileBytes();
        if (offsetBytes >= fileBytes) {
            out.set(lengthBytes, true, true, false, false, 0, -1, null);
            return 0;
        }
        if (file.geometry.blockDevice()) {
            setData(file, offsetBytes, lengthBytes, out);
            return 0;
        }
        if (offsetBytes >= dataStartBytes && offsetBytes < dataEndBytes) {
            setData(file, offsetBytes, Math.min(lengthBytes, sectorsUp(dataEndBytes - offsetBytes)), out);
            return 0;
        }
        Seek seek = new Seek(file.fd, offsetBytes);
        int result = context.runBlocking(seek);
        if (result == -Errno.ENXIO) {
            out.set(lengthBytes, true, true, false, false, 0, offsetBytes, file.options.image());
        } else if (result < 0) {
            setData(file, offsetBytes, lengthBytes, out);
        } else if (seek.dataBytes > offsetBytes) {
            long length = Math.min(lengthBytes, sectorsDown(seek.dataBytes - offsetBytes));
            if (length == 0) {
                setData(file, offsetBytes, Math.min(lengthBytes, 512), out); // a sector that begins with a hole
            } else {
                out.set(length, true, true, false, false, 0, offsetBytes, file.options.image());
            }
        } else {
            dataStartBytes = offsetBytes;
            dataEndBytes = seek.holeBytes;
            setData(file, offsetBytes, Math.min(lengthBytes, sectorsUp(seek.holeBytes - offsetBytes)), out);
        }
        return 0;
    }

    private static void setData(SharedFile file, long offsetBytes, long lengthBytes, BlockStatus out) {
        out.set(lengthBytes, true, false, true, false, 0, offsetBytes, file.options.image());
    }

    private static long sectorsDown(long bytes) {
        return bytes & -FileGeometry.SECTOR_BYTES;
    }

    private static long sectorsUp(long bytes) {
        return sectorsDown(bytes + FileGeometry.SECTOR_BYTES - 1);
    }

    /** The two questions as one task. */
    private static final class Seek implements IoContext.BlockingCall {
        private final int fd;
        private final long offsetBytes;
        private long dataBytes;
        private long holeBytes;

        private Seek(int fd, long offsetBytes) {
            this.fd = fd;
            this.offsetBytes = offsetBytes;
        }

        @Override
        public int run() {
            dataBytes = PosixFile.seek(fd, offsetBytes, PosixFile.SEEK_DATA);
            if (dataBytes == offsetBytes) {
                holeBytes = PosixFile.seek(fd, offsetBytes, PosixFile.SEEK_HOLE);
                return (int) Math.min(holeBytes, 0);
            }
            return (int) Math.min(dataBytes, 0);
        }
    }
}

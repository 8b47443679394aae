// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import dev.vublk.blockdev.IoContext;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.NativeMemory;

/**
 * Requests that cannot go from their own buffers: those that O_DIRECT would refuse, reads past the end of a file whose last
 * block is torn, and writes whose bytes must be looked at before they are in the file. Runs on its loop.
 *
 * <pre>
 *           start          pos                       end        stop
 *   disk      |-- block ----|--- block ---|-- block --|-----------|
 *                           |######## request ########|
 *   buffer    |=================== one piece =====================|
 * </pre>
 *
 * A read fetches whole blocks and copies the wanted part out. A write that covers its first or last block only in part
 * reads that block first; the caller keeps other writes off those blocks meanwhile.
 */
final class BouncedTransfer {
    private final FileTransfer transfer;
    private final BounceBufferPool buffers;
    private final DiskExtent extent;
    private final int blockBytes;

    /** Whether the file is taken for raw only because of its first bytes. */
    private final boolean isProbed;

    BouncedTransfer(IoContext context, FileTransfer transfer, SharedFile file) {
        this.transfer = transfer;
        this.buffers = new BounceBufferPool(context);
        this.extent = file.extent;
        this.blockBytes = Math.max(file.alignment.offsetBytes(), file.isProbedRaw() ? FileGeometry.SECTOR_BYTES : 1);
        this.isProbed = file.isProbedRaw();
    }

    int readv(long offsetBytes, long iovAddress, long lengthBytes) {
        BounceBuffer buffer = buffers.acquire();
        if (buffer == null) {
            return -Errno.ENOMEM;
        }
        buffer.cursor.reset(iovAddress);
        try {
            return read(buffer, offsetBytes, offsetBytes + lengthBytes);
        } catch (InternalError pageGone) {
            return -Errno.EFAULT; // what the kernel says when a buffer's file was truncated under its mapping
        } finally {
            buffers.release(buffer);
        }
    }

    /** Reads into one buffer. */
    int read(long offsetBytes, long address, int lengthBytes) {
        BounceBuffer buffer = buffers.acquire();
        if (buffer == null) {
            return -Errno.ENOMEM;
        }
        buffer.resetCursor(address, lengthBytes);
        try {
            return read(buffer, offsetBytes, offsetBytes + lengthBytes);
        } finally {
            buffers.release(buffer);
        }
    }

    /** Writes from one buffer. */
    int write(long offsetBytes, long address, int lengthBytes, int rwFlags) {
        BounceBuffer buffer = buffers.acquire();
        if (buffer == null) {
            return -Errno.ENOMEM;
        }
        buffer.resetCursor(address, lengthBytes);
        try {
            return write(buffer, true, offsetBytes, offsetBytes + lengthBytes, rwFlags);
        } finally {
            buffers.release(buffer);
        }
    }

    private int read(BounceBuffer buffer, long offsetBytes, long endBytes) {
        long pos = offsetBytes;
        while (pos < endBytes) {
            long start = floor(pos);
            long stop = Math.min(ceiling(endBytes), start + BounceBuffer.SIZE_BYTES);
            int result = fill(buffer.address, start, (int) (stop - start));
            if (result < 0) {
                return result;
            }
            long copied = Math.min(stop, endBytes) - pos;
            buffer.cursor.scatter(buffer.address + (pos - start), copied);
            pos += copied;
        }
        return 0;
    }

    /** Reads whole blocks; what lies behind the end of the file is zeroes. */
    private int fill(long address, long startBytes, int lengthBytes) {
        int present = Math.clamp(extent.fileBytes() - startBytes, 0, lengthBytes);
        int result = transfer.read(address, lengthBytes, startBytes, present);
        if (result == 0 && present < lengthBytes) {
            NativeMemory.zero(address + present, lengthBytes - present);
        }
        return result;
    }

    int writev(long offsetBytes, long iovAddress, long lengthBytes, int rwFlags) {
        BounceBuffer buffer = buffers.acquire();
        if (buffer == null) {
            return -Errno.ENOMEM;
        }
        buffer.cursor.reset(iovAddress);
        try {
            return write(buffer, true, offsetBytes, offsetBytes + lengthBytes, rwFlags);
        } catch (InternalError pageGone) {
            return -Errno.EFAULT;
        } finally {
            buffers.release(buffer);
        }
    }

    /** Writes zeroes of any offset and length. */
    int writeZeroes(long offsetBytes, long lengthBytes) {
        BounceBuffer buffer = buffers.acquire();
        if (buffer == null) {
            return -Errno.ENOMEM;
        }
        try {
            return write(buffer, false, offsetBytes, offsetBytes + lengthBytes, 0);
        } finally {
            buffers.release(buffer);
        }
    }

    private int write(BounceBuffer buffer, boolean fromCursor, long offsetBytes, long endBytes, int rwFlags) {
        long pos = offsetBytes;
        while (pos < endBytes) {
            long start = floor(pos);
            long stop = Math.min(ceiling(endBytes), start + BounceBuffer.SIZE_BYTES);
            int result = fillEdges(buffer.address, start, pos, Math.min(stop, endBytes), stop);
            if (result < 0) {
                return result;
            }
            long copied = Math.min(stop, endBytes) - pos;
            long target = buffer.address + (pos - start);
            if (fromCursor) {
                buffer.cursor.gather(target, copied);
            } else {
                NativeMemory.zero(target, copied);
            }
            if (start == 0 && isProbed && ImageFormat.isOtherThanRaw(buffer.address)) {
                return -Errno.EPERM; // The next opener would take the disk for what its guest wrote.
            }
            result = transfer.write(buffer.address, (int) (stop - start), start, rwFlags);
            if (result < 0) {
                return result;
            }
            pos += copied;
        }
        return 0;
    }

    /** Reads the first and the last block of a piece where the request covers them only in part. */
    private int fillEdges(long address, long start, long pos, long end, long stop) {
        if (start < pos) {
            int result = fill(address, start, blockBytes);
            if (result < 0) {
                return result;
            }
        }
        long lastBlock = stop - blockBytes;
        boolean alreadyRead = start < pos && lastBlock == start;
        if (end < stop && !alreadyRead) {
            return fill(address + (lastBlock - start), lastBlock, blockBytes);
        }
        return 0;
    }

    private long floor(long offsetBytes) {
        return offsetBytes & -(long) blockBytes;
    }

    private long ceiling(long offsetBytes) {
        return (offsetBytes + blockBytes - 1) & -(long) blockBytes;
    }

    void close() {
        buffers.close();
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.Iovec;
import dev.vublk.blockdev.linux.PosixFile;

/**
 * Whole operations made of system calls: short transfers are continued, interrupted calls repeated. Every method returns
 * 0 when all is done, or a negative errno. Runs on its loop; without state of its own, so many may be under way.
 */
final class FileTransfer {
    /**
     * How often a call may say {@code EAGAIN} in a row: the kernel is short of something (requests, memory). The first
     * tries follow at once, the others a millisecond apart: about a second in all. Arbitrary.
     */
    private static final int EAGAIN_MAX = 1000;

    private static final int EAGAIN_AT_ONCE_MAX = 8;

    private final FileIo io;
    private final SharedFile file;

    /** Where a direct transfer that ended early may go on; 1 without O_DIRECT. */
    private final int granuleBytes;

    FileTransfer(FileIo io, SharedFile file) {
        this.io = io;
        this.file = file;
        this.granuleBytes = file.alignment.granuleBytes();
    }

    int readv(long offsetBytes, long iovAddress, int iovCount, long lengthBytes) {
        return vector(false, offsetBytes, iovAddress, iovCount, lengthBytes, 0);
    }

    int writev(long offsetBytes, long iovAddress, int iovCount, long lengthBytes, int rwFlags) {
        return vector(true, offsetBytes, iovAddress, iovCount, lengthBytes, rwFlags);
    }

    /** After a short transfer the next call begins inside an entry of the vector, which is cut for that call. */
    private int vector(boolean write, long offsetBytes, long iovAddress, int iovCount, long lengthBytes, int rwFlags) {
        long iov = iovAddress;
        long iovEnd = iovAddress + (long) iovCount * Iovec.SIZE_BYTES;
        int flags = rwFlags;
        int busyCount = 0;
        long done = 0;
        long doneOfEntry = 0;
        while (done < lengthBytes) {
            // Empty entries could fill a whole call, whose 0 would look like the end of the file.
            while (Iovec.length(iov) == doneOfEntry) {
                iov += Iovec.SIZE_BYTES;
                doneOfEntry = 0;
            }
            int count = (int) Math.min((iovEnd - iov) / Iovec.SIZE_BYTES, Iovec.IOV_MAX);
            moveStart(iov, doneOfEntry);
            int result =
                    write ? io.writev(iov, count, offsetBytes + done, flags) : io.readv(iov, count, offsetBytes + done);
            moveStart(iov, -doneOfEntry);
            if (result < 0) {
                if (isDsyncRefused(result, flags)) {
                    flags = 0;
                } else if (!mayRetry(result, busyCount++)) {
                    return result;
                }
                continue;
            }
            busyCount = 0;
            long step = usable(result, lengthBytes - done);
            if (step == 0) {
                return -Errno.EIO; // end of file inside the disk: somebody truncated it
            }
            done += step;
            doneOfEntry += step;
            while (doneOfEntry > Iovec.length(iov)) {
                doneOfEntry -= Iovec.length(iov);
                iov += Iovec.SIZE_BYTES;
            }
        }
        return 0;
    }

    /** Takes {@code bytes} off the front of the entry at {@code iov}; a negative number gives them back. */
    private static void moveStart(long iov, long bytes) {
        if (bytes != 0) {
            Iovec.set(iov, Iovec.base(iov) + bytes, Iovec.length(iov) - bytes);
        }
    }

    /**
     * Reads into one buffer.
     *
     * @param leastBytes how much of the length must be there; less only where the rest lies behind the end of the file
     */
    int read(long address, int lengthBytes, long offsetBytes, int leastBytes) {
        int busyCount = 0;
        int done = 0;
        while (done < leastBytes) {
            int result = io.read(address + done, lengthBytes - done, offsetBytes + done);
            if (result < 0) {
                if (!mayRetry(result, busyCount++)) {
                    return result;
                }
                continue;
            }
            busyCount = 0;
            int step = done + result >= leastBytes ? result : (int) usable(result, lengthBytes - done);
            if (step == 0) {
                return -Errno.EIO;
            }
            done += step;
        }
        return 0;
    }

    /** Writes from one buffer. */
    int write(long address, int lengthBytes, long offsetBytes, int rwFlags) {
        int flags = rwFlags;
        int busyCount = 0;
        int done = 0;
        while (done < lengthBytes) {
            int result = io.write(address + done, lengthBytes - done, offsetBytes + done, flags);
            if (result < 0) {
                if (isDsyncRefused(result, flags)) {
                    flags = 0;
                } else if (!mayRetry(result, busyCount++)) {
                    return result;
                }
                continue;
            }
            busyCount = 0;
            int step = (int) usable(result, lengthBytes - done);
            if (step == 0) {
                return -Errno.EIO;
            }
            done += step;
        }
        return 0;
    }

    int fdatasync() {
        int busyCount = 0;
        int result;
        do {
            result = io.fdatasync();
        } while (result < 0 && mayRetry(result, busyCount++));
        return result;
    }

    int fallocate(int mode, long offsetBytes, long lengthBytes) {
        int busyCount = 0;
        int result;
        do {
            result = io.fallocate(mode, offsetBytes, lengthBytes);
        } while (result < 0 && mayRetry(result, busyCount++));
        return result;
    }

    int ioctlOnRange(int request, long offsetBytes, long lengthBytes) {
        int busyCount = 0;
        int result;
        do {
            result = io.ioctlOnRange(request, offsetBytes, lengthBytes);
        } while (result < 0 && mayRetry(result, busyCount++));
        return result;
    }

    /** A short direct transfer goes on at its last usable boundary: what lies behind is moved once more. */
    private long usable(int result, long remainingBytes) {
        return result == remainingBytes ? result : result & -(long) granuleBytes;
    }

    /** Whether the kernel or file system has no {@code RWF_DSYNC}; the caller of the write then flushes after it. */
    private boolean isDsyncRefused(int result, int flags) {
        if (result != -Errno.EOPNOTSUPP || (flags & PosixFile.RWF_DSYNC) == 0) {
            return false;
        }
        file.rememberNoDsync();
        return true;
    }

    private boolean mayRetry(int result, int busyCount) {
        if (result == -Errno.EINTR) {
            return true;
        }
        if (result != -Errno.EAGAIN || busyCount >= EAGAIN_MAX) {
            return false;
        }
        if (busyCount >= EAGAIN_AT_ONCE_MAX) {
            io.pause();
        }
        return true;
    }
}

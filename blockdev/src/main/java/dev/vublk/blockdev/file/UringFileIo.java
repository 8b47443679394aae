// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import dev.vublk.blockdev.IoContext;
import dev.vublk.blockdev.IoRing;
import dev.vublk.blockdev.linux.Iovec;

/** The io_uring engine; what the ring has no operation for goes to a worker thread. Runs on its loop. */
final class UringFileIo implements FileIo {
    /** {@code MAX_RW_COUNT}: the most bytes that one system call moves; INT_MAX rounded down to a page. */
    private static final long MAX_RW_COUNT = 0x7ffff000L;

    private final IoRing ring;
    private final WorkerFileIo workers;
    private final int fd;

    UringFileIo(IoContext context, IoRing ring, int fd) {
        this.ring = ring;
        this.workers = new WorkerFileIo(context, fd);
        this.fd = fd;
    }

    /** A vector of one, the usual request, is submitted as a plain read: the kernel need not import an iovec. */
    @Override
    public int readv(long iovAddress, int iovCount, long offsetBytes) {
        if (iovCount == 1) {
            int lengthBytes = (int) Math.min(Iovec.length(iovAddress), MAX_RW_COUNT);
            return ring.read(fd, Iovec.base(iovAddress), lengthBytes, offsetBytes, 0);
        }
        return ring.readv(fd, iovAddress, iovCount, offsetBytes, 0);
    }

    @Override
    public int writev(long iovAddress, int iovCount, long offsetBytes, int rwFlags) {
        if (iovCount == 1) {
            int lengthBytes = (int) Math.min(Iovec.length(iovAddress), MAX_RW_COUNT);
            return ring.write(fd, Iovec.base(iovAddress), lengthBytes, offsetBytes, rwFlags);
        }
        return ring.writev(fd, iovAddress, iovCount, offsetBytes, rwFlags);
    }

    @Override
    public int read(long address, int lengthBytes, long offsetBytes) {
        return ring.read(fd, address, lengthBytes, offsetBytes, 0);
    }

    @Override
    public int write(long address, int lengthBytes, long offsetBytes, int rwFlags) {
        return ring.write(fd, address, lengthBytes, offsetBytes, rwFlags);
    }

    @Override
    public int fdatasync() {
        return ring.fsync(fd, true);
    }

    @Override
    public int fallocate(int mode, long offsetBytes, long lengthBytes) {
        return ring.fallocate(fd, mode, offsetBytes, lengthBytes);
    }

    @Override
    public int ioctlOnRange(int request, long offsetBytes, long lengthBytes) {
        return workers.ioctlOnRange(request, offsetBytes, lengthBytes);
    }

    @Override
    public void pause() {
        workers.pause();
    }

    @Override
    public void close() {
        workers.close();
    }
}

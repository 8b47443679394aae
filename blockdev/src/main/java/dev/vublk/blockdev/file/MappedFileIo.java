// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import dev.vublk.blockdev.IoContext;
import dev.vublk.blockdev.linux.Iovec;
import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.blockdev.linux.PosixFile;

/**
 * The mmap engine, for files in memory: copies between the guest's pages and the file's own, on the loop. Holes, and pages
 * that turn out to be gone, are left to system calls, which make no memory of a hole that is read and tell a full file
 * system from a truncated file. Large calls, which would keep the loop busy, go to a worker thread. Runs on its loop.
 */
final class MappedFileIo implements FileIo {
    /**
     * The longest copy on the loop, some ten microseconds for each 128 KiB. By measurement 1 MiB is copied 3 times as fast here as by a
     * worker's system call at depth 1, and twice as fast at depth 8.
     */
    private static final long INLINE_MAX_BYTES = 1 << 20;

    private final FileMapping mapping;
    private final WorkerFileIo workers;
    private final int fd;

    /** For {@link FileMapping#learn}; larger when the file has grown into larger chunks. */
    private long vector;

    private long vectorBytes;

    /** For {@link #single}. */
    private final long iov = NativeMemory.allocateZeroed(Iovec.SIZE_BYTES);

    MappedFileIo(IoContext context, FileMapping mapping, int fd) {
        this.mapping = mapping;
        this.workers = new WorkerFileIo(context, fd);
        this.fd = fd;
        vectorBytes = mapping.vectorBytes();
        vector = NativeMemory.allocateZeroed(vectorBytes);
    }

    @Override
    public int readv(long iovAddress, int iovCount, long offsetBytes) {
        long lengthBytes = length(iovAddress, iovCount);
        if (lengthBytes > INLINE_MAX_BYTES) {
            return workers.readv(iovAddress, iovCount, offsetBytes);
        }
        FileMapping.View view = mapping.view();
        if (view.isPresent(offsetBytes, lengthBytes)) {
            try {
                long source = view.addressOf(offsetBytes);
                for (long at = iovAddress, end = end(at, iovCount); at < end; at += Iovec.SIZE_BYTES) {
                    NativeMemory.copy(source, Iovec.base(at), Iovec.length(at));
                    source += Iovec.length(at);
                }
                NativeMemory.awaitFault();
                return (int) lengthBytes;
            } catch (InternalError pageGone) {
                mapping.forget(offsetBytes, lengthBytes);
            }
        }
        return learned(PosixFile.readv(fd, iovAddress, iovCount, offsetBytes, 0), offsetBytes);
    }

    @Override
    public int writev(long iovAddress, int iovCount, long offsetBytes, int rwFlags) {
        long lengthBytes = length(iovAddress, iovCount);
        if (lengthBytes > INLINE_MAX_BYTES) {
            return workers.writev(iovAddress, iovCount, offsetBytes, rwFlags);
        }
        FileMapping.View view = mapping.view();
        if (view.isPresent(offsetBytes, lengthBytes)) {
            try {
                long target = view.addressOf(offsetBytes);
                for (long at = iovAddress, end = end(at, iovCount); at < end; at += Iovec.SIZE_BYTES) {
                    NativeMemory.copy(Iovec.base(at), target, Iovec.length(at));
                    target += Iovec.length(at);
                }
                NativeMemory.awaitFault();
                return (int) lengthBytes; // Memory knows no stabler state than this one: rwFlags has nothing to add.
            } catch (InternalError pageGone) {
                mapping.forget(offsetBytes, lengthBytes);
            }
        }
        return learned(PosixFile.writev(fd, iovAddress, iovCount, offsetBytes, rwFlags), offsetBytes);
    }

    private static long end(long iovAddress, int iovCount) {
        return iovAddress + (long) iovCount * Iovec.SIZE_BYTES;
    }

    private static long length(long iovAddress, int iovCount) {
        long lengthBytes = 0;
        for (long at = iovAddress, end = end(at, iovCount); at < end; at += Iovec.SIZE_BYTES) {
            lengthBytes += Iovec.length(at);
        }
        return lengthBytes;
    }

    /** After a system call: what it moved may have no hole now. */
    private int learned(int result, long offsetBytes) {
        if (result > 0) {
            if (vectorBytes < mapping.vectorBytes()) {
                NativeMemory.free(vector);
                vectorBytes = mapping.vectorBytes();
                vector = NativeMemory.allocateZeroed(vectorBytes);
            }
            mapping.learn(offsetBytes, result, vector, vectorBytes);
        }
        return result;
    }

    @Override
    public int read(long address, int lengthBytes, long offsetBytes) {
        return lengthBytes > INLINE_MAX_BYTES
                ? workers.read(address, lengthBytes, offsetBytes)
                : readv(single(address, lengthBytes), 1, offsetBytes);
    }

    @Override
    public int write(long address, int lengthBytes, long offsetBytes, int rwFlags) {
        return lengthBytes > INLINE_MAX_BYTES
                ? workers.write(address, lengthBytes, offsetBytes, rwFlags)
                : writev(single(address, lengthBytes), 1, offsetBytes, rwFlags);
    }

    /** A vector of one buffer, for a call that is over before the next: on the loop, that is. */
    private long single(long address, int lengthBytes) {
        Iovec.set(iov, address, lengthBytes);
        return iov;
    }

    /** Does nothing in memory, but the kernel may know better. */
    @Override
    public int fdatasync() {
        return PosixFile.fdatasync(fd);
    }

    @Override
    public int fallocate(int mode, long offsetBytes, long lengthBytes) {
        mapping.forget(offsetBytes, lengthBytes);
        return lengthBytes > INLINE_MAX_BYTES
                ? workers.fallocate(mode, offsetBytes, lengthBytes)
                : PosixFile.fallocate(fd, mode, offsetBytes, lengthBytes);
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
        NativeMemory.free(vector);
        NativeMemory.free(iov);
    }
}

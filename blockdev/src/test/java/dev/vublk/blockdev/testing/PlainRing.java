// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.testing;

import dev.vublk.blockdev.IoRing;
import dev.vublk.blockdev.linux.Iovec;
import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.blockdev.linux.PosixFile;
import dev.vublk.blockdev.testing.FaultPlan.Operation;

/** The ring's operations as plain system calls, with faults. On the loop of its {@link PlainLoop}. */
final class PlainRing implements IoRing {
    private final PlainLoop loop;
    private final FaultPlan faults;

    PlainRing(PlainLoop loop, FaultPlan faults) {
        this.loop = loop;
        this.faults = faults;
    }

    @Override
    public int readv(int fd, long iovAddress, int iovCount, long offsetBytes, int rwFlags) {
        return vector(
                Operation.READ,
                offsetBytes,
                iovAddress,
                iovCount,
                (iov, count) -> PosixFile.readv(fd, iov, count, offsetBytes, rwFlags));
    }

    @Override
    public int writev(int fd, long iovAddress, int iovCount, long offsetBytes, int rwFlags) {
        return vector(
                write(rwFlags),
                offsetBytes,
                iovAddress,
                iovCount,
                (iov, count) -> PosixFile.writev(fd, iov, count, offsetBytes, rwFlags));
    }

    @Override
    public int read(int fd, long address, int lengthBytes, long offsetBytes, int rwFlags) {
        return one(
                Operation.READ,
                offsetBytes,
                address,
                lengthBytes,
                iov -> PosixFile.readv(fd, iov, 1, offsetBytes, rwFlags));
    }

    @Override
    public int write(int fd, long address, int lengthBytes, long offsetBytes, int rwFlags) {
        return one(
                write(rwFlags),
                offsetBytes,
                address,
                lengthBytes,
                iov -> PosixFile.writev(fd, iov, 1, offsetBytes, rwFlags));
    }

    @Override
    public int fsync(int fd, boolean dataOnly) {
        return call(Operation.FSYNC, 0, 0, most -> dataOnly ? PosixFile.fdatasync(fd) : PosixFile.fsync(fd));
    }

    @Override
    public int fallocate(int fd, int mode, long offsetBytes, long lengthBytes) {
        return call(
                Operation.FALLOCATE,
                offsetBytes,
                lengthBytes,
                most -> PosixFile.fallocate(fd, mode, offsetBytes, lengthBytes));
    }

    private int call(Operation operation, long offsetBytes, long lengthBytes, Call call) {
        return loop.away(() -> {
            long most = faults.next(operation, offsetBytes, lengthBytes);
            return most < 0 ? (int) most : call.run(most);
        });
    }

    private int vector(Operation operation, long offsetBytes, long iovAddress, int iovCount, VectorCall call) {
        return call(operation, offsetBytes, length(iovAddress, iovCount), most -> {
            long copy = NativeMemory.allocateZeroed((long) iovCount * Iovec.SIZE_BYTES);
            try {
                return call.run(copy, truncate(iovAddress, iovCount, copy, most));
            } finally {
                NativeMemory.free(copy);
            }
        });
    }

    /** A vector of one, for the sake of the flags. */
    private int one(Operation operation, long offsetBytes, long address, int lengthBytes, OneCall call) {
        return call(operation, offsetBytes, lengthBytes, most -> {
            long iov = NativeMemory.allocateZeroed(Iovec.SIZE_BYTES);
            try {
                Iovec.set(iov, address, Math.min(most, lengthBytes));
                return call.run(iov);
            } finally {
                NativeMemory.free(iov);
            }
        });
    }

    /** Copies the vector's first {@code most} bytes; returns how many entries they take. */
    private static int truncate(long iov, int count, long copy, long most) {
        long left = most;
        int taken = 0;
        while (taken < count && left > 0) {
            long entry = iov + (long) taken * Iovec.SIZE_BYTES;
            long bytes = Math.min(left, Iovec.length(entry));
            Iovec.set(copy + (long) taken * Iovec.SIZE_BYTES, Iovec.base(entry), bytes);
            left -= bytes;
            taken++;
        }
        return taken;
    }

    private static long length(long iovAddress, int iovCount) {
        long length = 0;
        for (int i = 0; i < iovCount; i++) {
            length += Iovec.length(iovAddress + (long) i * Iovec.SIZE_BYTES);
        }
        return length;
    }

    private static Operation write(int rwFlags) {
        return (rwFlags & PosixFile.RWF_DSYNC) != 0 ? Operation.WRITE_DSYNC : Operation.WRITE;
    }

    private interface Call {
        int run(long most);
    }

    private interface VectorCall {
        int run(long iov, int count);
    }

    private interface OneCall {
        int run(long iov);
    }
}

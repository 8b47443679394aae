// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import dev.vublk.blockdev.IoContext;
import dev.vublk.blockdev.linux.BlockDeviceIoctl;
import dev.vublk.blockdev.linux.Iovec;
import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.blockdev.linux.PosixFile;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/**
 * One system call as a task, reused for the next one. Filled in on its loop, run on a worker thread; handing the task
 * over and back orders the accesses.
 */
final class FileCall implements IoContext.BlockingCall {
    /** What a task can be; ioctls are told apart by their request. */
    enum Operation {
        READV,
        WRITEV,
        READ,
        WRITE,
        FDATASYNC,
        FALLOCATE,
        IOCTL,
        PAUSE
    }

    /** Long enough for the kernel to free something, short enough to go unnoticed; arbitrary. */
    private static final long PAUSE_NS = TimeUnit.MILLISECONDS.toNanos(1);

    Operation operation = Operation.PAUSE;
    int fd;
    long address;
    int count;
    long offsetBytes;
    long lengthBytes;
    int flags;

    /** One {@code struct iovec}, or one {@code uint64_t range[2]}. */
    private final long scratchAddress = NativeMemory.allocateZeroed(Iovec.SIZE_BYTES);

    @Override
    public int run() {
        return switch (operation) {
            case READV -> PosixFile.readv(fd, address, count, offsetBytes, flags);
            case WRITEV -> PosixFile.writev(fd, address, count, offsetBytes, flags);
            case READ -> PosixFile.read(fd, address, count, offsetBytes);
            case WRITE -> write();
            case FDATASYNC -> PosixFile.fdatasync(fd);
            case FALLOCATE -> PosixFile.fallocate(fd, flags, offsetBytes, lengthBytes);
            case IOCTL -> BlockDeviceIoctl.onRange(fd, flags, offsetBytes, lengthBytes, scratchAddress);
            case PAUSE -> pause();
        };
    }

    /** {@code pwrite(2)} has no flags: with flags, a vector of one. */
    private int write() {
        if (flags == 0) {
            return PosixFile.write(fd, address, count, offsetBytes);
        }
        Iovec.set(scratchAddress, address, count);
        return PosixFile.writev(fd, scratchAddress, 1, offsetBytes, flags);
    }

    private static int pause() {
        LockSupport.parkNanos(PAUSE_NS);
        return 0;
    }

    void free() {
        NativeMemory.free(scratchAddress);
    }
}

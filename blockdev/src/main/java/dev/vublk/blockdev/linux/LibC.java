// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.linux;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.lang.foreign.Arena;

/**
 * The libc functions that this module calls: a result, or a negative errno. Addresses are plain longs, so that a call allocates
 * nothing, but for those that take a name. Any thread.
 */
final class LibC {
    private static final NativeFunction OPEN = NativeFunction.of("open");
    private static final NativeFunction CLOSE = NativeFunction.of("close");
    private static final NativeFunction PREAD = NativeFunction.of("pread");
    private static final NativeFunction PWRITE = NativeFunction.of("pwrite");
    private static final NativeFunction PREADV2 = NativeFunction.of("preadv2");
    private static final NativeFunction PWRITEV2 = NativeFunction.of("pwritev2");
    private static final NativeFunction FDATASYNC = NativeFunction.of("fdatasync");
    private static final NativeFunction FSYNC = NativeFunction.of("fsync");
    private static final NativeFunction FALLOCATE = NativeFunction.of("fallocate");
    private static final NativeFunction FTRUNCATE = NativeFunction.of("ftruncate");
    private static final NativeFunction LSEEK = NativeFunction.of("lseek");
    private static final NativeFunction FSTATFS = NativeFunction.of("fstatfs");
    private static final NativeFunction MMAP = NativeFunction.of("mmap");
    private static final NativeFunction MUNMAP = NativeFunction.of("munmap");
    private static final NativeFunction MINCORE = NativeFunction.of("mincore");
    private static final NativeFunction STATX = NativeFunction.of("statx");
    private static final NativeFunction IOCTL = NativeFunction.of("ioctl");
    private static final NativeFunction FCNTL = NativeFunction.of("fcntl");
    private static final NativeFunction ALIGNED_ALLOC = NativeFunction.of("aligned_alloc");
    private static final NativeFunction FREE = NativeFunction.of("free");
    private static final NativeFunction STRERROR = NativeFunction.of("strerror");

    private LibC() {}

    static int open(String path, int flags, int mode) {
        try (Arena arena = Arena.ofConfined()) {
            return OPEN.intOrErrno(arena.allocateFrom(path).address(), flags, mode, 0, 0);
        }
    }

    static int close(int fd) {
        return CLOSE.intOrErrno(fd, 0, 0, 0, 0);
    }

    static long pread(int fd, long bufferAddress, long lengthBytes, long offsetBytes) {
        return PREAD.longOrErrno(fd, bufferAddress, lengthBytes, offsetBytes, 0, 0);
    }

    static long pwrite(int fd, long bufferAddress, long lengthBytes, long offsetBytes) {
        return PWRITE.longOrErrno(fd, bufferAddress, lengthBytes, offsetBytes, 0, 0);
    }

    static long preadv2(int fd, long iovAddress, int iovCount, long offsetBytes, int flags) {
        return PREADV2.longOrErrno(fd, iovAddress, iovCount, offsetBytes, flags, 0);
    }

    static long pwritev2(int fd, long iovAddress, int iovCount, long offsetBytes, int flags) {
        return PWRITEV2.longOrErrno(fd, iovAddress, iovCount, offsetBytes, flags, 0);
    }

    static int fdatasync(int fd) {
        return FDATASYNC.intOrErrno(fd, 0, 0, 0, 0);
    }

    static int fsync(int fd) {
        return FSYNC.intOrErrno(fd, 0, 0, 0, 0);
    }

    static int fallocate(int fd, int mode, long offsetBytes, long lengthBytes) {
        return FALLOCATE.intOrErrno(fd, mode, offsetBytes, lengthBytes, 0);
    }

    static int ftruncate(int fd, long lengthBytes) {
        return FTRUNCATE.intOrErrno(fd, lengthBytes, 0, 0, 0);
    }

    static long lseek(int fd, long offsetBytes, int whence) {
        return LSEEK.longOrErrno(fd, offsetBytes, whence, 0, 0, 0);
    }

    static int fstatfs(int fd, long bufferAddress) {
        return FSTATFS.intOrErrno(fd, bufferAddress, 0, 0, 0);
    }

    static long mmap(long hint, long lengthBytes, int protection, int flags, int fd, long offsetBytes) {
        return MMAP.longOrErrno(hint, lengthBytes, protection, flags, fd, offsetBytes);
    }

    static int munmap(long address, long lengthBytes) {
        return MUNMAP.intOrErrno(address, lengthBytes, 0, 0, 0);
    }

    static int mincore(long address, long lengthBytes, long vectorAddress) {
        return MINCORE.intOrErrno(address, lengthBytes, vectorAddress, 0, 0);
    }

    static int statx(int directoryFd, String path, int flags, int mask, long bufferAddress) {
        try (Arena arena = Arena.ofConfined()) {
            return STATX.intOrErrno(directoryFd, arena.allocateFrom(path).address(), flags, mask, bufferAddress);
        }
    }

    static int ioctl(int fd, long request, long argument) {
        return IOCTL.intOrErrno(fd, request, argument, 0, 0);
    }

    static int fcntl(int fd, int command, long argument) {
        return FCNTL.intOrErrno(fd, command, argument, 0, 0);
    }

    /** An address, 0 when there is no memory. */
    static long aligned_alloc(long alignmentBytes, long lengthBytes) {
        return ALIGNED_ALLOC.address(alignmentBytes, lengthBytes);
    }

    static void free(long address) {
        FREE.address(address, 0);
    }

    static String strerror(int errno) {
        long text = STRERROR.address(errno, 0);
        int length = 0;
        while (NativeMemory.getByte(text + length) != 0) {
            length++;
        }
        byte[] bytes = new byte[length];
        NativeMemory.get(text, bytes, 0, length);
        return new String(bytes, UTF_8);
    }
}

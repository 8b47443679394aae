// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.linux;

import jnr.ffi.LibraryLoader;
import jnr.ffi.Pointer;
import org.jspecify.annotations.Nullable;

/**
 * The libc functions that this module calls. Addresses are plain longs, so that a call allocates nothing.
 *
 * <p>{@code open}, {@code fcntl} and {@code ioctl} are variadic in C and declared with fixed arguments here: the Linux
 * calling conventions of x86-64 and aarch64 pass integer arguments of both kinds in the same registers. Of six integer
 * arguments one must be declared a {@code Pointer}: when all are primitive, jnr-ffi's x86-64 stubs pass the sixth wrongly.
 *
 * <p>Public only because jnr-ffi implements it in a class loader of its own; use the classes beside it.
 */
public interface LibC {
    LibC INSTANCE = LibraryLoader.create(LibC.class).load("c");
    jnr.ffi.Runtime RUNTIME = jnr.ffi.Runtime.getRuntime(INSTANCE);

    int open(String path, int flags, int mode);

    int close(int fd);

    long pread(int fd, long bufferAddress, long lengthBytes, long offsetBytes);

    long pwrite(int fd, long bufferAddress, long lengthBytes, long offsetBytes);

    long preadv2(int fd, long iovAddress, int iovCount, long offsetBytes, int flags);

    long pwritev2(int fd, long iovAddress, int iovCount, long offsetBytes, int flags);

    int fdatasync(int fd);

    int fsync(int fd);

    int fallocate(int fd, int mode, long offsetBytes, long lengthBytes);

    int ftruncate(int fd, long lengthBytes);

    long lseek(int fd, long offsetBytes, int whence);

    int fstatfs(int fd, long bufferAddress);

    /** {@code hint} is a Pointer for the reason given above; null is the null pointer. */
    long mmap(@Nullable Pointer hint, long lengthBytes, int protection, int flags, int fd, long offsetBytes);

    int munmap(long address, long lengthBytes);

    int mincore(long address, long lengthBytes, long vectorAddress);

    int statx(int directoryFd, String path, int flags, int mask, long bufferAddress);

    int ioctl(int fd, long request, long argument);

    int fcntl(int fd, int command, long argument);

    long aligned_alloc(long alignmentBytes, long lengthBytes);

    void free(long address);

    String strerror(int errno);

    /** A call's result, or its errno negated when the result is -1. */
    static long check(long result) {
        return result == -1 ? -RUNTIME.getLastError() : result;
    }
}

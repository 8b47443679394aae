// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.linux;

import jnr.ffi.LibraryLoader;
import jnr.ffi.Pointer;
import org.jspecify.annotations.Nullable;

/**
 * The libc functions that this module calls. Addresses are plain longs, so that a call allocates nothing.
 *
 * <p>jnr-ffi's x86-64 stubs pass garbage as the sixth integer argument of a six-argument call when all are primitive, so
 * such a function declares one parameter as {@link Pointer} ({@code mmap}); a unit test guards this.
 *
 * <p>Public only because jnr-ffi implements it in a class loader of its own; nobody outside this package calls it.
 */
public interface LibC {
    LibC INSTANCE = LibraryLoader.create(LibC.class).load("c");
    jnr.ffi.Runtime RUNTIME = jnr.ffi.Runtime.getRuntime(INSTANCE);

    int eventfd(int initialValue, int flags);

    long read(int fd, long bufferAddress, long lengthBytes);

    long write(int fd, long bufferAddress, long lengthBytes);

    int close(int fd);

    /** Variadic in C; the third argument is passed in a register either way. */
    int fcntl(int fd, int command, long argument);

    /** Variadic in C; the third argument is passed in a register either way. */
    int ioctl(int fd, long request, long argument);

    /** Variadic in C; without O_CREAT there is no third argument. */
    int open(String path, int flags);

    int socket(int domain, int type, int protocol);

    /** Fills {@code int[2]}. */
    int socketpair(int domain, int type, int protocol, long fdsAddress);

    int bind(int fd, long addressAddress, int addressLength);

    int listen(int fd, int backlog);

    int connect(int fd, long addressAddress, int addressLength);

    int accept4(int fd, long addressAddress, long addressLengthAddress, int flags);

    int getsockopt(int fd, int level, int name, long valueAddress, long valueLengthAddress);

    int shutdown(int fd, int how);

    long recvmsg(int fd, long messageAddress, int flags);

    long sendmsg(int fd, long messageAddress, int flags);

    int poll(long pollFdsAddress, long pollFdCount, int timeoutMs);

    int ppoll(long pollFdsAddress, long pollFdCount, long timespecAddress, long signalMaskAddress);

    /** {@code hint} is a Pointer for the reason given above; null is the null pointer. */
    long mmap(@Nullable Pointer hint, long lengthBytes, int protection, int flags, int fd, long offsetBytes);

    /** Variadic in C; the fifth argument is passed in a register either way. */
    long mremap(long address, long oldLengthBytes, long newLengthBytes, int flags, long newAddress);

    int munmap(long address, long lengthBytes);

    int madvise(long address, long lengthBytes, int advice);

    int memfd_create(String name, int flags);

    int ftruncate(int fd, long lengthBytes);

    int statx(int directoryFd, String path, int flags, int mask, long statxAddress);

    /** Any system call by its number. Seven arguments, so the sixth is passed rightly (see above). */
    long syscall(long number, long a, long b, long c, long d, long e, long f);

    String strerror(int errno);

    /** A call's result, or its errno negated when the result is -1. */
    static long check(long result) {
        return result == -1 ? -RUNTIME.getLastError() : result;
    }
}

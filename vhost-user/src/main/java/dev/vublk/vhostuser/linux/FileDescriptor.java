// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** Calls on any kind of plain descriptor. Any thread. */
public final class FileDescriptor {
    private static final int F_GETFD = 1;
    private static final int F_SETFD = 2;
    private static final int F_GETFL = 3;
    private static final int F_SETFL = 4;
    private static final int F_DUPFD_CLOEXEC = 1030;
    private static final int FD_CLOEXEC = 1;
    private static final int O_NONBLOCK = 0x800;

    private FileDescriptor() {}

    /** Closes once; a second time may hit a descriptor that has become somebody else's, so tests look for it. */
    public static void close(int fd) {
        int result = (int) LibC.check(LibC.INSTANCE.close(fd));
        assert result != -Errno.EBADF : "descriptor " + fd + " closed twice";
    }

    /** A second descriptor for the same open file, closed on exec; or a negative errno. */
    public static int duplicate(int fd) {
        return (int) LibC.check(LibC.INSTANCE.fcntl(fd, F_DUPFD_CLOEXEC, 0));
    }

    /** Makes reads and writes fail with {@code EAGAIN} rather than block. 0 or a negative errno. */
    public static int setNonBlocking(int fd) {
        int flags = (int) LibC.check(LibC.INSTANCE.fcntl(fd, F_GETFL, 0));
        return flags < 0 ? flags : (int) LibC.check(LibC.INSTANCE.fcntl(fd, F_SETFL, flags | O_NONBLOCK));
    }

    /** Keeps an inherited descriptor from being inherited further. 0 or a negative errno. */
    public static int setCloseOnExec(int fd) {
        int flags = (int) LibC.check(LibC.INSTANCE.fcntl(fd, F_GETFD, 0));
        return flags < 0 ? flags : (int) LibC.check(LibC.INSTANCE.fcntl(fd, F_SETFD, flags | FD_CLOEXEC));
    }

    /** Writes bytes with one call. Returns the number written or a negative errno. */
    public static int write(int fd, byte[] bytes) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment buffer = arena.allocateFrom(ValueLayout.JAVA_BYTE, bytes);
            return (int) LibC.check(LibC.INSTANCE.write(fd, buffer.address(), bytes.length));
        }
    }

    /** Reads into {@code target} with one call. Returns the number read, 0 at the end, or a negative errno. */
    public static int read(int fd, byte[] target) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment buffer = arena.allocate(Math.max(target.length, 1));
            int result = (int) LibC.check(LibC.INSTANCE.read(fd, buffer.address(), target.length));
            if (result > 0) {
                MemorySegment.copy(buffer, ValueLayout.JAVA_BYTE, 0, target, 0, result);
            }
            return result;
        }
    }
}

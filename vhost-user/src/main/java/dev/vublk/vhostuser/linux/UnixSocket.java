// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.function.IntConsumer;

/** Stream sockets of the Unix domain, with descriptors passed along. Any thread. */
public final class UnixSocket {
    /** sockaddr_un has 108 bytes for the path; the last one is the terminator. */
    public static final int PATH_BYTES_MAX = 107;

    /** SCM_MAX_FD: the most descriptors that the kernel passes with one message. */
    public static final int PASSED_FDS_MAX = 253;

    private static final int AF_UNIX = 1;
    private static final int SOCK_STREAM = 1;
    private static final int SOCK_NONBLOCK = 0x800;
    private static final int SOCK_CLOEXEC = 0x80000;
    private static final int SOL_SOCKET = 1;
    private static final int SO_TYPE = 3;
    private static final int SO_ACCEPTCONN = 30;
    private static final int SO_DOMAIN = 39;
    private static final int SCM_RIGHTS = 1;
    private static final int MSG_CTRUNC = 0x8;
    private static final int MSG_DONTWAIT = 0x40;
    private static final int MSG_NOSIGNAL = 0x4000;
    private static final int MSG_CMSG_CLOEXEC = 0x40000000;
    private static final int SHUT_RDWR = 2;

    // struct sockaddr_un
    private static final int SUN_PATH = 2;
    private static final int SOCKADDR_UN_SIZE_BYTES = 110;

    // struct msghdr (64-bit)
    private static final long MSG_IOV = 16;
    private static final long MSG_IOVLEN = 24;
    private static final long MSG_CONTROL = 32;
    private static final long MSG_CONTROLLEN = 40;
    private static final long MSG_FLAGS = 48;
    private static final long MSGHDR_SIZE_BYTES = 56;

    // struct iovec
    private static final long IOV_BASE = 0;
    private static final long IOV_LEN = 8;
    private static final long IOVEC_SIZE_BYTES = 16;

    // struct cmsghdr (64-bit)
    private static final long CMSG_LEN = 0;
    private static final long CMSG_LEVEL = 8;
    private static final long CMSG_TYPE = 12;
    private static final long CMSG_DATA = 16;

    private UnixSocket() {}

    /** A new socket whose calls do not block, or a negative errno. */
    public static int create() {
        return (int) LibC.check(LibC.INSTANCE.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    }

    /** Two new sockets that are connected to each other and do not block. 0 or a negative errno. */
    public static int pair(int[] target) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment fds = arena.allocate(2L * Integer.BYTES, Long.BYTES);
            int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
            int result = (int) LibC.check(LibC.INSTANCE.socketpair(AF_UNIX, type, 0, fds.address()));
            if (result == 0) {
                target[0] = fds.getAtIndex(ValueLayout.JAVA_INT, 0);
                target[1] = fds.getAtIndex(ValueLayout.JAVA_INT, 1);
            }
            return result;
        }
    }

    /** 0 or a negative errno; {@code ENAMETOOLONG} for a path of more than {@link #PATH_BYTES_MAX} bytes. */
    public static int bind(int fd, String path) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment address = arena.allocate(SOCKADDR_UN_SIZE_BYTES, Long.BYTES);
            if (!encodeAddress(address, path)) {
                return -Errno.ENAMETOOLONG;
            }
            return (int) LibC.check(LibC.INSTANCE.bind(fd, address.address(), SOCKADDR_UN_SIZE_BYTES));
        }
    }

    /** 0 or a negative errno; {@code ENAMETOOLONG} for a path of more than {@link #PATH_BYTES_MAX} bytes. */
    public static int connect(int fd, String path) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment address = arena.allocate(SOCKADDR_UN_SIZE_BYTES, Long.BYTES);
            if (!encodeAddress(address, path)) {
                return -Errno.ENAMETOOLONG;
            }
            return (int) LibC.check(LibC.INSTANCE.connect(fd, address.address(), SOCKADDR_UN_SIZE_BYTES));
        }
    }

    private static boolean encodeAddress(MemorySegment address, String path) {
        byte[] bytes = path.getBytes(StandardCharsets.UTF_8);
        if (bytes.length > PATH_BYTES_MAX) {
            return false;
        }
        address.set(ValueLayout.JAVA_SHORT, 0, (short) AF_UNIX);
        MemorySegment.copy(bytes, 0, address, ValueLayout.JAVA_BYTE, SUN_PATH, bytes.length);
        return true;
    }

    public static int listen(int fd, int backlog) {
        return (int) LibC.check(LibC.INSTANCE.listen(fd, backlog));
    }

    /** The next connection, whose calls do not block; or a negative errno. */
    public static int accept(int fd) {
        return (int) LibC.check(LibC.INSTANCE.accept4(fd, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC));
    }

    /** Both ends see the end of the stream; the descriptor stays open. */
    public static void shutdown(int fd) {
        LibC.INSTANCE.shutdown(fd, SHUT_RDWR);
    }

    /** Whether a descriptor is a stream socket of the Unix domain. */
    public static boolean isUnixStream(int fd) {
        return socketOption(fd, SO_DOMAIN) == AF_UNIX && socketOption(fd, SO_TYPE) == SOCK_STREAM;
    }

    /** Whether a socket is one that accepts connections. */
    public static boolean isListening(int fd) {
        return socketOption(fd, SO_ACCEPTCONN) == 1;
    }

    private static int socketOption(int fd, int name) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment value = arena.allocate(ValueLayout.JAVA_INT);
            MemorySegment length = arena.allocateFrom(ValueLayout.JAVA_INT, Integer.BYTES);
            int result = LibC.INSTANCE.getsockopt(fd, SOL_SOCKET, name, value.address(), length.address());
            return (int) LibC.check(result == 0 ? value.get(ValueLayout.JAVA_INT, 0) : result);
        }
    }

    /**
     * Receives what is there, without waiting, and hands each descriptor that came with it to {@code passedFds}; they are
     * closed on exec.
     *
     * @return the number of bytes; 0 when the other end has closed; or a negative errno: {@code EAGAIN} when there is
     *     nothing, {@code ENOBUFS} when descriptors were lost (the process has too many open); {@code passedFds} then
     *     has those that were not
     */
    public static int receive(int fd, byte[] target, int offset, int length, IntConsumer passedFds) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment buffer = arena.allocate(length, Long.BYTES);
            MemorySegment control = arena.allocate(controlSpace(PASSED_FDS_MAX), Long.BYTES);
            MemorySegment message = encodeMessage(arena, buffer, length, control, control.byteSize());
            long received = LibC.check(LibC.INSTANCE.recvmsg(fd, message.address(), MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
            if (received < 0) {
                return (int) received;
            }
            decodeControl(control, message.get(ValueLayout.JAVA_LONG, MSG_CONTROLLEN), passedFds);
            if ((message.get(ValueLayout.JAVA_INT, MSG_FLAGS) & MSG_CTRUNC) != 0) {
                return -Errno.ENOBUFS;
            }
            MemorySegment.copy(buffer, ValueLayout.JAVA_BYTE, 0, target, offset, (int) received);
            return (int) received;
        }
    }

    private static void decodeControl(MemorySegment control, long controlLength, IntConsumer passedFds) {
        long offset = 0;
        while (controlLength - offset >= CMSG_DATA) {
            long length = control.get(ValueLayout.JAVA_LONG, offset + CMSG_LEN);
            if (length < CMSG_DATA || length > controlLength - offset) {
                return;
            }
            if (control.get(ValueLayout.JAVA_INT, offset + CMSG_LEVEL) == SOL_SOCKET
                    && control.get(ValueLayout.JAVA_INT, offset + CMSG_TYPE) == SCM_RIGHTS) {
                for (long at = CMSG_DATA; at + Integer.BYTES <= length; at += Integer.BYTES) {
                    passedFds.accept(control.get(ValueLayout.JAVA_INT, offset + at));
                }
            }
            offset += align(length);
        }
    }

    /**
     * Sends what fits, without waiting. The descriptors stay the caller's; they go with the first byte.
     *
     * @return the number of bytes sent or a negative errno ({@code EAGAIN}: the socket is full)
     */
    public static int send(int fd, byte[] source, int offset, int length, int... passedFds) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment buffer = arena.allocate(Math.max(length, 1), Long.BYTES);
            MemorySegment.copy(source, offset, buffer, ValueLayout.JAVA_BYTE, 0, length);
            MemorySegment control = MemorySegment.NULL;
            if (passedFds.length > 0) {
                control = arena.allocate(controlSpace(passedFds.length), Long.BYTES);
                control.set(ValueLayout.JAVA_LONG, CMSG_LEN, CMSG_DATA + (long) passedFds.length * Integer.BYTES);
                control.set(ValueLayout.JAVA_INT, CMSG_LEVEL, SOL_SOCKET);
                control.set(ValueLayout.JAVA_INT, CMSG_TYPE, SCM_RIGHTS);
                MemorySegment.copy(passedFds, 0, control, ValueLayout.JAVA_INT, CMSG_DATA, passedFds.length);
            }
            MemorySegment message = encodeMessage(arena, buffer, length, control, control.byteSize());
            return (int) LibC.check(LibC.INSTANCE.sendmsg(fd, message.address(), MSG_DONTWAIT | MSG_NOSIGNAL));
        }
    }

    private static MemorySegment encodeMessage(
            Arena arena, MemorySegment buffer, int length, MemorySegment control, long controlLength) {
        MemorySegment iovec = arena.allocate(IOVEC_SIZE_BYTES, Long.BYTES);
        iovec.set(ValueLayout.JAVA_LONG, IOV_BASE, buffer.address());
        iovec.set(ValueLayout.JAVA_LONG, IOV_LEN, length);
        MemorySegment message = arena.allocate(MSGHDR_SIZE_BYTES, Long.BYTES);
        message.set(ValueLayout.JAVA_LONG, MSG_IOV, iovec.address());
        message.set(ValueLayout.JAVA_LONG, MSG_IOVLEN, 1);
        message.set(ValueLayout.JAVA_LONG, MSG_CONTROL, control.address());
        message.set(ValueLayout.JAVA_LONG, MSG_CONTROLLEN, controlLength);
        return message;
    }

    /** CMSG_SPACE of that many descriptors. */
    private static long controlSpace(int fdCount) {
        return CMSG_DATA + align((long) fdCount * Integer.BYTES);
    }

    private static long align(long length) {
        return (length + Long.BYTES - 1) & -Long.BYTES;
    }
}

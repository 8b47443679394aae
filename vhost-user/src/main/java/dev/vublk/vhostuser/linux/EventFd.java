// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** eventfd(2) on plain descriptors. Any thread; nothing is allocated by {@link #signal} and {@link #drain}. */
public final class EventFd {
    private static final int EFD_NONBLOCK = 0x800;
    private static final int EFD_CLOEXEC = 0x80000;

    /** The value 1, read by every signal. */
    private static final MemorySegment ONE = Arena.global().allocate(Long.BYTES, Long.BYTES);

    /** Where drained counters go; nobody reads them, so threads may share it. */
    private static final MemorySegment SINK = Arena.global().allocate(Long.BYTES, Long.BYTES);

    static {
        ONE.set(ValueLayout.JAVA_LONG, 0, 1L);
    }

    private EventFd() {}

    /** A new non-blocking eventfd, or a negative errno. */
    public static int create() {
        return (int) LibC.check(LibC.INSTANCE.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    }

    /** A new eventfd whose reads wait, or a negative errno. */
    public static int createBlocking() {
        return (int) LibC.check(LibC.INSTANCE.eventfd(0, EFD_CLOEXEC));
    }

    /** Adds one to the counter. Returns 8 or a negative errno ({@code EAGAIN}: the counter is full, a signal is pending). */
    public static int signal(int fd) {
        return (int) LibC.check(LibC.INSTANCE.write(fd, ONE.address(), Long.BYTES));
    }

    /** Resets the counter to zero. Returns 8 or a negative errno ({@code EAGAIN}: it was zero). */
    public static int drain(int fd) {
        return (int) LibC.check(LibC.INSTANCE.read(fd, SINK.address(), Long.BYTES));
    }

    public static void close(int fd) {
        LibC.INSTANCE.close(fd);
    }
}

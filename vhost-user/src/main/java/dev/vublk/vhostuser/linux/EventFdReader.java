// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * The reading end of an eventfd for a thread that may block: how many signals came, and waiting for the next one. It has
 * memory of its own, so that neither allocates. Owns the descriptor. One thread at a time.
 */
public final class EventFdReader implements AutoCloseable {
    /** {@code struct pollfd { int fd; short events; short revents; }}. */
    private static final long POLLFD_SIZE_BYTES = 8;

    private static final long POLLFD_EVENTS = 4;

    /** {@code struct timespec { time_t tv_sec; long tv_nsec; }}. */
    private static final long TIMESPEC_SIZE_BYTES = 16;

    private static final long NS_PER_S = 1_000_000_000;

    private final int fd;
    private final MemorySegment pollFd;
    private final MemorySegment timespec;
    private final MemorySegment counter;

    /** Takes an eventfd over. */
    public EventFdReader(int fd) {
        this.fd = fd;
        Arena arena = Arena.ofAuto();
        pollFd = arena.allocate(POLLFD_SIZE_BYTES, Long.BYTES);
        timespec = arena.allocate(TIMESPEC_SIZE_BYTES, Long.BYTES);
        counter = arena.allocate(Long.BYTES, Long.BYTES);
        pollFd.set(ValueLayout.JAVA_INT, 0, fd);
        pollFd.set(ValueLayout.JAVA_SHORT, POLLFD_EVENTS, (short) Poll.POLLIN);
    }

    public int fd() {
        return fd;
    }

    /** The number of signals since the last call; 0 when there were none, or a negative errno. Does not wait. */
    public long take() {
        int result = (int) LibC.check(LibC.INSTANCE.read(fd, counter.address(), Long.BYTES));
        if (result < 0) {
            return result == -Errno.EAGAIN ? 0 : result;
        }
        return counter.get(ValueLayout.JAVA_LONG, 0);
    }

    /** Waits for a signal. 1 when there is one, 0 when the time is over, or a negative errno. */
    public int await(long timeoutNs) {
        timespec.set(ValueLayout.JAVA_LONG, 0, timeoutNs / NS_PER_S);
        timespec.set(ValueLayout.JAVA_LONG, Long.BYTES, timeoutNs % NS_PER_S);
        return (int) LibC.check(LibC.INSTANCE.ppoll(pollFd.address(), 1, timespec.address(), 0));
    }

    @Override
    public void close() {
        FileDescriptor.close(fd);
    }
}

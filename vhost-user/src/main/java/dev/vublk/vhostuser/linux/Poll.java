// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** poll(2), for plain threads that may block. */
public final class Poll {
    public static final int POLLIN = 1;
    public static final int POLLOUT = 4;
    public static final int FOR_EVER = -1;

    private static final long POLLFD_SIZE_BYTES = 8;
    private static final long POLLFD_EVENTS = 4;
    private static final long POLLFD_REVENTS = 6;

    private Poll() {}

    /**
     * Waits until {@code fd} has one of {@code events}, an error or a hang-up, or {@code otherFd} is readable.
     *
     * @param otherFd a second descriptor, or -1
     * @return bit 0: {@code fd} is ready, bit 1: {@code otherFd} is; 0 when the time is over; or a negative errno
     */
    public static int await(int fd, int events, int otherFd, int timeoutMs) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment pollFds = arena.allocate(2 * POLLFD_SIZE_BYTES, Long.BYTES);
            pollFds.set(ValueLayout.JAVA_INT, 0, fd);
            pollFds.set(ValueLayout.JAVA_SHORT, POLLFD_EVENTS, (short) events);
            pollFds.set(ValueLayout.JAVA_INT, POLLFD_SIZE_BYTES, otherFd);
            pollFds.set(ValueLayout.JAVA_SHORT, POLLFD_SIZE_BYTES + POLLFD_EVENTS, (short) POLLIN);
            int result = (int) LibC.check(LibC.INSTANCE.poll(pollFds.address(), 2, timeoutMs));
            if (result <= 0) {
                return result;
            }
            boolean ready = pollFds.get(ValueLayout.JAVA_SHORT, POLLFD_REVENTS) != 0;
            boolean otherReady = pollFds.get(ValueLayout.JAVA_SHORT, POLLFD_SIZE_BYTES + POLLFD_REVENTS) != 0;
            return (ready ? 1 : 0) | (otherReady ? 2 : 0);
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** epoll(7), edge-triggered: a descriptor costs nothing while it is idle, however many there are. */
public final class EpollPoller implements DescriptorPoller {
    private static final int EPOLL_CLOEXEC = 0x80000;
    private static final int EPOLL_CTL_ADD = 1;
    private static final int EPOLL_CTL_DEL = 2;
    private static final int EPOLLET = 1 << 31;
    private static final int EINTR = 4;

    /** {@code struct epoll_event { u32 events; u64 data; }}: packed on x86-64, aligned elsewhere. */
    private static final boolean PACKED = System.getProperty("os.arch").equals("amd64");

    private static final long EVENT_DATA = PACKED ? 4 : 8;
    private static final long EVENT_BYTES = PACKED ? 12 : 16;

    /** Taken in one call; what is more is found by the next. Arbitrary. */
    private static final int EVENTS_MAX = 256;

    private final Arena arena = Arena.ofShared();
    private final MemorySegment events = arena.allocate((EVENTS_MAX + 1) * EVENT_BYTES, Long.BYTES);
    private final MemorySegment change = events.asSlice(EVENTS_MAX * EVENT_BYTES, EVENT_BYTES);
    private final int epollFd;

    public EpollPoller() {
        epollFd = WaitLibC.check(WaitLibC.INSTANCE.epoll_create1(EPOLL_CLOEXEC));
        if (epollFd < 0) {
            throw new IllegalStateException("epoll_create1 failed with errno " + -epollFd);
        }
    }

    @Override
    public boolean isLevelTriggered() {
        return false;
    }

    @Override
    public void add(int fd, int eventBits, long token) {
        change.set(ValueLayout.JAVA_INT_UNALIGNED, 0, eventBits | EPOLLET);
        change.set(ValueLayout.JAVA_LONG_UNALIGNED, EVENT_DATA, token);
        control(EPOLL_CTL_ADD, fd);
    }

    @Override
    public void remove(int fd, long token) {
        control(EPOLL_CTL_DEL, fd);
    }

    private void control(int operation, int fd) {
        int result = WaitLibC.check(WaitLibC.INSTANCE.epoll_ctl(epollFd, operation, fd, change.address()));
        if (result < 0) {
            throw new IllegalStateException(
                    "epoll_ctl " + operation + " of descriptor " + fd + " failed with errno " + -result);
        }
    }

    @Override
    public int await(int timeoutMs) {
        int result = WaitLibC.check(WaitLibC.INSTANCE.epoll_wait(epollFd, events.address(), EVENTS_MAX, timeoutMs));
        if (result == -EINTR) {
            return 0;
        }
        if (result < 0) {
            throw new IllegalStateException("epoll_wait failed with errno " + -result);
        }
        return result;
    }

    @Override
    public long readyToken(int index) {
        return events.get(ValueLayout.JAVA_LONG_UNALIGNED, index * EVENT_BYTES + EVENT_DATA);
    }

    @Override
    public void close() {
        WaitLibC.INSTANCE.close(epollFd);
        arena.close();
    }
}

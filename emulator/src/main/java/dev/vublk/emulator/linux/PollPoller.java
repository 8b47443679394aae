// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;

/** poll(2): works everywhere, and its cost grows with the number of descriptors. */
public final class PollPoller implements DescriptorPoller {
    private static final long POLLFD_BYTES = 8;
    private static final long POLLFD_EVENTS = 4;
    private static final long POLLFD_REVENTS = 6;
    private static final int EINTR = 4;

    private Arena arena = Arena.ofShared();
    private MemorySegment pollFds = arena.allocate(64 * POLLFD_BYTES, Long.BYTES);
    private long[] tokens = new long[64];
    private long[] ready = new long[64];
    private int count;

    @Override
    public boolean isLevelTriggered() {
        return true;
    }

    @Override
    public void add(int fd, int events, long token) {
        if (count == tokens.length) {
            grow();
        }
        long entry = count * POLLFD_BYTES;
        pollFds.set(ValueLayout.JAVA_INT, entry, fd);
        pollFds.set(ValueLayout.JAVA_SHORT, entry + POLLFD_EVENTS, (short) events);
        tokens[count++] = token;
    }

    private void grow() {
        Arena larger = Arena.ofShared();
        MemorySegment copy = larger.allocate(2 * pollFds.byteSize(), Long.BYTES);
        copy.copyFrom(pollFds);
        arena.close();
        arena = larger;
        pollFds = copy;
        tokens = Arrays.copyOf(tokens, 2 * tokens.length);
        ready = Arrays.copyOf(ready, tokens.length);
    }

    @Override
    public void remove(int fd, long token) {
        for (int i = 0; i < count; i++) {
            if (tokens[i] == token) {
                count--;
                tokens[i] = tokens[count];
                MemorySegment.copy(pollFds, count * POLLFD_BYTES, pollFds, i * POLLFD_BYTES, POLLFD_BYTES);
                return;
            }
        }
        throw new IllegalStateException("descriptor " + fd + " is not polled");
    }

    @Override
    public int await(int timeoutMs) {
        int result = WaitLibC.check(WaitLibC.INSTANCE.poll(pollFds.address(), count, timeoutMs));
        if (result == -EINTR) {
            return 0;
        }
        if (result < 0) {
            throw new IllegalStateException("poll failed with errno " + -result);
        }
        int found = 0;
        for (int i = 0; found < result; i++) {
            if (pollFds.get(ValueLayout.JAVA_SHORT, i * POLLFD_BYTES + POLLFD_REVENTS) != 0) {
                ready[found++] = tokens[i];
            }
        }
        return found;
    }

    @Override
    public long readyToken(int index) {
        return ready[index];
    }

    @Override
    public void close() {
        arena.close();
    }
}

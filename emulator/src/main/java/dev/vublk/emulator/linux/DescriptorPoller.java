// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.linux;

/**
 * epoll(7) or poll(2): descriptors with a token each, and one call that waits for any of them. One thread; an errno that
 * cannot be the caller's fault is an {@link IllegalStateException}.
 */
public interface DescriptorPoller extends AutoCloseable {
    int POLLIN = 1;
    int POLLOUT = 4;

    /** Whether a descriptor is reported as long as it is ready, and not only each time it becomes ready. */
    boolean isLevelTriggered();

    /** Adds {@code fd} for {@link #POLLIN} or {@link #POLLOUT}; hang-ups and errors are always reported. */
    void add(int fd, int events, long token);

    /** Takes {@code fd} out; the descriptor is still open. */
    void remove(int fd, long token);

    /**
     * Waits until something is ready.
     *
     * @param timeoutMs 0 to only look, -1 to wait for ever
     * @return how many are; {@link #readyToken} tells which
     */
    int await(int timeoutMs);

    /** The token of the {@code index}th descriptor that the last {@link #await} found ready. */
    long readyToken(int index);

    @Override
    void close();
}

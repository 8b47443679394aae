// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.linux;

import jnr.ffi.LibraryLoader;

/** The libc functions that {@link DescriptorPoller}s call. Public only because jnr-ffi's generated class must see it. */
public interface WaitLibC {
    WaitLibC INSTANCE = LibraryLoader.create(WaitLibC.class).load("c");
    jnr.ffi.Runtime RUNTIME = jnr.ffi.Runtime.getRuntime(INSTANCE);

    int epoll_create1(int flags);

    int epoll_ctl(int epollFd, int operation, int fd, long eventAddress);

    int epoll_wait(int epollFd, long eventsAddress, int eventsMax, int timeoutMs);

    int poll(long pollFdsAddress, long pollFdCount, int timeoutMs);

    int close(int fd);

    /** A call's result, or its errno negated when the result is -1. */
    static int check(int result) {
        return result == -1 ? -RUNTIME.getLastError() : result;
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.iothread;

import dev.vublk.blockdev.LateLogger;
import io.netty.channel.uring.IoUring;
import org.jspecify.annotations.Nullable;

/** What a loop waits with. */
public enum FdMonitorKind {
    /** {@link #IO_URING} where it is permitted, otherwise {@link #EPOLL} with a warning. */
    AUTO,
    IO_URING,
    EPOLL,
    POLL;

    private static final LateLogger LOG = new LateLogger(FdMonitorKind.class);

    /** Decides {@link #AUTO}. Warns once when io_uring is wanted but not to be had; call it once a process. */
    public FdMonitorKind resolve() {
        if (this != AUTO) {
            return this;
        }
        String refusal = ioUringRefusal();
        if (refusal == null) {
            return IO_URING;
        }
        LOG.get()
                .warn(
                        "io_uring is not to be had ({}): descriptors are watched with epoll, files served by worker threads",
                        refusal);
        return EPOLL;
    }

    /** Why a loop cannot have its two rings, Netty's and the one for disks; null when it can. */
    static @Nullable String ioUringRefusal() {
        return IoUring.isAvailable()
                ? UringOperations.refusal(IOThread.OPERATION_SLOTS)
                : IoUring.unavailabilityCause().getMessage();
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.iothread;

import io.netty.channel.uring.IoUring;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;

/** What a loop waits with. */
public enum FdMonitorKind {
    /** {@link #IO_URING} where it is permitted, otherwise {@link #EPOLL} with a warning. */
    AUTO,
    IO_URING,
    EPOLL,
    POLL;

    private static final Logger LOG = LogManager.getLogger(FdMonitorKind.class);

    /** Decides {@link #AUTO}. Warns once when io_uring is wanted but not to be had; call it once a process. */
    public FdMonitorKind resolve() {
        if (this != AUTO) {
            return this;
        }
        if (IoUring.isAvailable()) {
            return IO_URING;
        }
        LOG.warn(
                "io_uring is not to be had ({}): descriptors are watched with epoll, files served by worker threads",
                IoUring.unavailabilityCause().getMessage());
        return EPOLL;
    }
}

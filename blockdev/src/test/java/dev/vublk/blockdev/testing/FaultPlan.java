// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.testing;

/** What goes wrong in the system calls of a {@link PlainLoop}. Asked by several threads of a test, one at a time. */
@FunctionalInterface
public interface FaultPlan {
    /** The call is carried out as it is. */
    long NO_FAULT = Long.MAX_VALUE;

    /** Nothing goes wrong. */
    FaultPlan NONE = (operation, offsetBytes, lengthBytes) -> NO_FAULT;

    /** The kinds of calls. */
    enum Operation {
        READ,
        WRITE,
        /** A write with {@code RWF_DSYNC}. */
        WRITE_DSYNC,
        FSYNC,
        FALLOCATE,
        /** Any call that went to a worker thread; what it does is not known. */
        BLOCKING
    }

    /**
     * What happens to the next call: {@link #NO_FAULT}, a negative errno instead of the call, or the most bytes that it
     * moves.
     */
    long next(Operation operation, long offsetBytes, long lengthBytes);
}

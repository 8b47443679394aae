// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import dev.vublk.blockdev.IoContext;
import dev.vublk.blockdev.IoContext.WaitQueue;
import org.jspecify.annotations.Nullable;

/** A channel's wait queue, made when it is first needed: a channel may be opened on another thread than its loop's. */
public final class LoopQueue {
    private final IoContext context;
    private @Nullable WaitQueue queue;

    public LoopQueue(IoContext context) {
        this.context = context;
    }

    /** The queue. On the loop's thread only. */
    public WaitQueue get() {
        WaitQueue existing = queue;
        if (existing == null) {
            existing = context.newWaitQueue();
            queue = existing;
        }
        return existing;
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import dev.vublk.blockdev.IoContext;
import dev.vublk.blockdev.TurnQueue;
import dev.vublk.blockdev.linux.NativeMemory;
import java.util.ArrayList;
import org.jspecify.annotations.Nullable;

/** The bounce buffers of one channel, made when needed and kept until it closes. Runs on its loop. */
final class BounceBufferPool {
    /** Bounds a channel's memory at 16 MiB; who finds none waits. Arbitrary. */
    static final int BUFFER_MAX = 16;

    private final TurnQueue turns;
    private final ArrayList<BounceBuffer> idle = new ArrayList<>(BUFFER_MAX);
    private int madeCount;

    BounceBufferPool(IoContext context) {
        this.turns = new TurnQueue(new LoopQueue(context)::get);
    }

    /** A buffer, when there is one; null when the first one cannot be had for lack of memory. */
    @Nullable
    BounceBuffer acquire() {
        if (idle.isEmpty() && madeCount < BUFFER_MAX) {
            long address = NativeMemory.allocate(BounceBuffer.ALLOCATED_BYTES);
            if (address != 0) {
                madeCount++;
                return new BounceBuffer(address);
            }
            if (madeCount == 0) {
                return null;
            }
        }
        // Who holds a buffer never waits for another one or for a range, so one will be given back.
        turns.await(idle.size());
        return idle.removeLast();
    }

    void release(BounceBuffer buffer) {
        idle.add(buffer);
        turns.onFree();
    }

    /** Frees all; none may be in use. */
    void close() {
        if (idle.size() != madeCount) {
            throw new IllegalStateException("bounce buffer still in use: a call is under way");
        }
        idle.forEach(BounceBuffer::free);
        idle.clear();
        madeCount = 0;
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.worker.compress;

import java.lang.invoke.VarHandle;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import org.jctools.queues.MpscArrayQueue;
import org.jspecify.annotations.Nullable;

/** The one ring in which all workers return blocks to the submitter, who sleeps at it when there is nothing else to do. */
final class CodecResults {
    private final MpscArrayQueue<CodecBlock> ring;
    private final AtomicReference<@Nullable Thread> sleeper = new AtomicReference<>();

    /** @param blocksMax as many as there are, so that there is always room */
    CodecResults(int blocksMax) {
        ring = new MpscArrayQueue<>(Math.max(2, blocksMax));
    }

    /** Any worker. */
    void offer(CodecBlock block) {
        if (!ring.offer(block)) {
            throw new IllegalStateException("more results than blocks");
        }
        VarHandle.fullFence(); // [R] The block is in the ring before we look whether anybody sleeps.
        Thread waiting = sleeper.get();
        if (waiting != null && sleeper.compareAndSet(waiting, null)) {
            LockSupport.unpark(waiting);
        }
    }

    /** The submitter: the next result, or null. */
    @Nullable
    CodecBlock poll() {
        return ring.poll();
    }

    /** The submitter: the next result; sleeps until there is one. */
    CodecBlock take() {
        boolean interrupted = false;
        CodecBlock block = ring.poll();
        while (block == null) {
            sleeper.set(Thread.currentThread()); // [R] Before the ring is looked at.
            block = ring.poll();
            if (block == null) {
                LockSupport.park(this);
                interrupted |= Thread.interrupted(); // Nobody can sleep with it set.
                block = ring.poll();
            }
        }
        sleeper.setOpaque(null);
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
        return block;
    }
}

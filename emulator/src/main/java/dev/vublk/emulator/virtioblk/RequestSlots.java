// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import dev.vublk.vhostuser.virtqueue.Virtqueue;
import java.util.Arrays;
import java.util.concurrent.Executor;

/**
 * The request slots of one queue: made when they are needed, kept for reuse, given up when the session's {@link RequestMemory}
 * is short. Runs on the queue's IOThread, unless said otherwise.
 */
final class RequestSlots {
    /** Arbitrary; doubled when needed. */
    private static final int INITIAL_CAPACITY = 16;

    private final Executor loop;
    private final RequestMemory memory;
    private final int queueSize;
    private final int bufferCountMax;
    private final int rangesMax;
    private final long ordinaryBytes;

    /** Every slot there is, each at its {@link VirtioBlkRequest#slotIndex}. */
    private VirtioBlkRequest[] all = new VirtioBlkRequest[INITIAL_CAPACITY];

    private int count;

    /** Those not in use, a stack. */
    private VirtioBlkRequest[] free = new VirtioBlkRequest[INITIAL_CAPACITY];

    private int freeCount;

    /**
     * @param loop runs tasks on the queue's IOThread
     * @param segmentMax data segments of the largest ordinary request
     */
    RequestSlots(Executor loop, RequestMemory memory, int queueSize, int segmentMax, int rangesMax) {
        this.loop = loop;
        this.memory = memory;
        this.queueSize = queueSize;
        this.rangesMax = rangesMax;
        bufferCountMax = Virtqueue.chainLengthMax(queueSize);
        // Header and status have a buffer each.
        long slotBytes = VirtioBlkRequest.bytes(Math.min((long) segmentMax + 2, bufferCountMax), rangesMax);
        ordinaryBytes = slotBytes * queueSize;
    }

    /** What the slots of this queue take when it is full of ordinary requests. Any thread. */
    long ordinaryBytes() {
        return ordinaryBytes;
    }

    /** Whether one more request may be taken from the ring beside {@code inFlight}; if not, when one of those has ended. */
    boolean mayTake(int inFlight) {
        if (inFlight == 0 || memory.hasRoom()) {
            return true;
        }
        memory.onShortage();
        return false;
    }

    VirtioBlkRequest take() {
        if (freeCount > 0) {
            return free[--freeCount];
        }
        assert count < queueSize;
        if (count == all.length) {
            all = Arrays.copyOf(all, Math.min(2 * count, queueSize));
        }
        VirtioBlkRequest made = new VirtioBlkRequest(count, bufferCountMax, rangesMax);
        all[count++] = made;
        recount(made);
        return made;
    }

    /** The slot has got a chain, for which it may have grown. */
    void onFilled(VirtioBlkRequest request) {
        if (request.countedBytes != request.bytes()) {
            recount(request);
        }
    }

    private void recount(VirtioBlkRequest request) {
        long bytes = request.bytes();
        memory.allocated(bytes - request.countedBytes);
        request.countedBytes = bytes;
    }

    /** Takes a slot back that is in use no more. */
    void putBack(VirtioBlkRequest request) {
        if (memory.isShort()) {
            discard(request);
            return;
        }
        if (freeCount == free.length) {
            free = Arrays.copyOf(free, all.length);
        }
        free[freeCount++] = request;
    }

    private void discard(VirtioBlkRequest request) {
        VirtioBlkRequest last = all[--count];
        last.slotIndex = request.slotIndex;
        all[request.slotIndex] = last;
        request.close();
        memory.freed(request.countedBytes);
    }

    /** Gives up what is kept for later. Any thread. */
    void trimSoon() {
        loop.execute(this::trim);
    }

    private void trim() {
        while (freeCount > 0) {
            discard(free[--freeCount]);
        }
    }

    /** The queue has ended, whatever was in use. */
    void close() {
        freeCount = 0;
        while (count > 0) {
            discard(all[count - 1]);
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import org.jspecify.annotations.Nullable;

/**
 * The requests of a queue in the order in which the driver made them available (virtio 1.2 section 2.6.9, VIRTIO_F_IN_ORDER):
 * they finish as they like, and go back in that order. Runs on the queue's IOThread.
 *
 * <p>What it costs: a request waits for all slower ones before it, and the driver gets its descriptors back later. That a used
 * element may stand for a whole batch is not made use of: each request gets its own, as the driver may demand of none.
 */
final class CompletionOrder {
    private final VirtioBlkRequest[] requests;
    private final int mask;
    /** Free-running. */
    private int taken;

    private int returned;

    CompletionOrder(int queueSize) {
        int capacity = Integer.highestOneBit(queueSize) == queueSize ? queueSize : Integer.highestOneBit(queueSize) * 2;
        requests = new VirtioBlkRequest[capacity];
        mask = capacity - 1;
    }

    /** The request was taken from the ring, after all before. */
    void onTaken(VirtioBlkRequest request) {
        request.finished = false;
        request.answered = false;
        requests[taken++ & mask] = request;
    }

    /** The request that goes back next, or null when it has not finished yet or there is none. */
    @Nullable
    VirtioBlkRequest nextReturned() {
        if (returned == taken || !requests[returned & mask].finished) {
            return null;
        }
        return requests[returned++ & mask];
    }
}

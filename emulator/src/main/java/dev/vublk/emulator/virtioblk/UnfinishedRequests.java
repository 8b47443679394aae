// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import dev.vublk.emulator.coroutine.Coroutine;
import dev.vublk.emulator.coroutine.Withdrawal;
import dev.vublk.emulator.iothread.PassLoop;

/**
 * What of a queue's requests may stay in the in-flight region when the queue stops: reads and writes that wait inside of this
 * process, for a worker or a place in the ring, say. What the kernel has been given is waited for: it cannot be taken back for
 * sure, and a write that went on afterwards could overwrite what the next back end has written. Runs on the queue's IOThread.
 */
final class UnfinishedRequests {
    /** Instead of a status: the request has been taken back, and may have been carried out in part. */
    static final int LEFT = -2;

    private final PassLoop ioThread;
    private final VirtioBlkRequestHandler handler;
    private final Withdrawal withdrawal = new Withdrawal();

    UnfinishedRequests(PassLoop ioThread, VirtioBlkRequestHandler handler) {
        this.ioThread = ioThread;
        this.handler = handler;
    }

    /** Carries {@code request} out, as the handler does. Returns its status, or {@link #LEFT}. */
    int handle(VirtioBlkRequest request) {
        if (!handler.mayBeLeft(request)) {
            return handler.handle(request);
        }
        Coroutine own = ioThread.currentCoroutine();
        own.beginUnder(withdrawal);
        try {
            int status = handler.handle(request);
            return status != VirtioBlkSpec.VIRTIO_BLK_S_OK && own.hasRefused() ? LEFT : status;
        } finally {
            own.endUnder();
        }
    }

    /** From now on nothing more is begun. */
    void leave() {
        withdrawal.make();
    }
}

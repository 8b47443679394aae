// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import dev.vublk.emulator.iothread.PassLoop;
import dev.vublk.vhostuser.QueueEvents;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * What one queue has to tell its session, carried from the IOThread to the control loop. Many reports of used requests may become
 * one. Off the data path: it takes a task each time, so only drivers without a call eventfd pay for it.
 */
final class QueueReports {
    private final PassLoop controlLoop;
    private final QueueEvents events;
    private final int queueIndex;
    private final AtomicBoolean usedUnderWay = new AtomicBoolean();

    QueueReports(PassLoop controlLoop, QueueEvents events, int queueIndex) {
        this.controlLoop = controlLoop;
        this.events = events;
        this.queueIndex = queueIndex;
    }

    /** Used requests were published. Any thread. */
    void used() {
        if (!usedUnderWay.getAndSet(true)) {
            controlLoop.spawn(this::deliverUsed);
        }
    }

    private void deliverUsed() {
        usedUnderWay.set(false); // Before the message: what is published from now on needs another.
        events.onUsed(queueIndex);
    }

    /** The queue needs translations to go on. Any thread. */
    void untranslated(long[] misses) {
        controlLoop.spawn(() -> events.onUntranslated(queueIndex, misses));
    }

    /** The queue broke. Any thread. */
    void broken() {
        controlLoop.spawn(() -> events.onBroken(queueIndex));
    }
}

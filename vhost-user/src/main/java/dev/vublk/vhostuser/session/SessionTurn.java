// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

import static java.util.Objects.requireNonNull;

import dev.vublk.vhostuser.ControlContext;
import dev.vublk.vhostuser.ControlContext.WaitCancel;
import dev.vublk.vhostuser.linux.EventFd;
import java.util.ArrayDeque;
import org.jspecify.annotations.Nullable;

/**
 * Lets one coroutine at a time change a session, also while it waits for a device: the one that carries out messages, or one that
 * goes on with what such a message has left to be waited for. Control loop.
 */
final class SessionTurn {
    private final ControlContext control;

    /** An eventfd for each who waits, the first to come first. */
    private final ArrayDeque<Integer> waiting = new ArrayDeque<>();

    private boolean taken;

    /** Of waits that always come to their end. */
    private @Nullable WaitCancel never;

    SessionTurn(ControlContext control) {
        this.control = requireNonNull(control, "control");
    }

    /** Waits until nobody else changes the session. */
    void take() {
        while (taken) {
            await();
        }
        taken = true;
    }

    /** Lets the next one go on. */
    void release() {
        taken = false;
        Integer next = waiting.poll();
        if (next != null) {
            EventFd.signal(next);
        }
    }

    private void await() {
        WaitCancel cancel = never == null ? control.newWaitCancel() : never;
        never = cancel;
        int fd = EventFd.create();
        waiting.add(fd);
        control.awaitReadable(fd, cancel);
        EventFd.close(fd);
    }
}

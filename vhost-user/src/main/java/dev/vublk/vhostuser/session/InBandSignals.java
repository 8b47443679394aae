// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

import dev.vublk.vhostuser.protocol.BackendRequest;
import dev.vublk.vhostuser.protocol.VringState;
import dev.vublk.vhostuser.socket.BackendRequestChannel;
import java.util.BitSet;
import org.jspecify.annotations.Nullable;

/**
 * Signals of rings that go as messages on the back-end channel. A signal must not get lost, or the driver waits for ever; but
 * one that waits to be sent stands for all that come after it, so a front end that does not read makes nothing grow. Control loop.
 */
final class InBandSignals {
    private final BitSet calls = new BitSet();
    private final BitSet errors = new BitSet();
    private @Nullable BackendRequestChannel channel;
    private boolean sending;

    /** The channel from now on; null: there is none. What could not be sent on another goes out on this one. */
    void useChannel(@Nullable BackendRequestChannel newChannel) {
        channel = newChannel;
        sendAll();
    }

    void call(int ring) {
        calls.set(ring);
        sendAll();
    }

    void error(int ring) {
        errors.set(ring);
        sendAll();
    }

    /** May wait; whoever comes meanwhile leaves its signal to the one who waits. */
    private void sendAll() {
        if (sending) {
            return;
        }
        sending = true;
        try {
            while (sendNext(errors, BackendRequest.VRING_ERR) || sendNext(calls, BackendRequest.VRING_CALL)) {}
        } finally {
            sending = false;
        }
    }

    private boolean sendNext(BitSet pending, BackendRequest request) {
        int ring = pending.nextSetBit(0);
        BackendRequestChannel present = channel;
        if (ring < 0 || present == null) {
            return false;
        }
        pending.clear(ring); // First: a signal that comes while this one waits is one more.
        if (present.sendWaiting(request, new VringState(ring, 0).encode())) {
            return true;
        }
        pending.set(ring);
        return channel != present; // Replaced meanwhile: on with the new one.
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.socket;

import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.protocol.BackendRequest;
import dev.vublk.vhostuser.protocol.MessageHeader;
import dev.vublk.vhostuser.protocol.Wire;

/** The way back, given by SET_BACKEND_REQ_FD: the back end's own messages. Owns the descriptor. Control loop. */
public final class BackendRequestChannel implements AutoCloseable {
    private final int fd;
    private boolean open = true;

    /** Takes ownership of the descriptor: a socket, or a pipe as Linux UML may pass, so it is written, not sent to. */
    public BackendRequestChannel(int fd) {
        this.fd = fd;
        // A front end that does not read must not stop the control loop.
        FileDescriptor.setNonBlocking(fd);
    }

    /** Sends a message without payload that wants no reply; best effort. Returns whether it went out. */
    public boolean send(BackendRequest request) {
        byte[] message = new byte[MessageHeader.SIZE_BYTES];
        request.header(0).encode(Wire.wrap(message));
        return open && FileDescriptor.write(fd, message) == message.length;
    }

    @Override
    public void close() {
        if (open) {
            open = false;
            FileDescriptor.close(fd);
        }
    }
}

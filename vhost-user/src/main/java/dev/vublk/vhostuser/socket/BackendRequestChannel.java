// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.socket;

import dev.vublk.vhostuser.ControlContext;
import dev.vublk.vhostuser.ControlContext.WaitCancel;
import dev.vublk.vhostuser.linux.Errno;
import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.protocol.BackendRequest;
import dev.vublk.vhostuser.protocol.MessageHeader;
import dev.vublk.vhostuser.protocol.Wire;
import java.nio.ByteBuffer;
import org.jspecify.annotations.Nullable;

/** The way back, given by SET_BACKEND_REQ_FD: the back end's own messages. Owns the descriptor. Control loop. */
public final class BackendRequestChannel implements AutoCloseable {
    private final int fd;
    private final ControlContext control;
    private @Nullable WaitCancel cancel;
    private boolean open = true;
    private boolean waiting;

    /** Takes ownership of the descriptor: a socket, or a pipe as Linux UML may pass, so it is written, not sent to. */
    public BackendRequestChannel(int fd, ControlContext control) {
        this.fd = fd;
        this.control = control;
        // A front end that does not read must not stop the control loop.
        FileDescriptor.setNonBlocking(fd);
    }

    /** Sends a message without payload that wants no reply; best effort. Returns whether it went out. */
    public boolean send(BackendRequest request) {
        byte[] message = message(request, Wire.empty());
        return open && write(message) == message.length;
    }

    /**
     * Sends a message that wants no reply, waiting until the front end takes it. Returns whether it went out. One caller at a
     * time.
     */
    public boolean sendWaiting(BackendRequest request, ByteBuffer payload) {
        byte[] message = message(request, payload);
        while (open) {
            int result = write(message);
            if (result == message.length) {
                return true;
            }
            if (result != -Errno.EINTR && (result != -Errno.EAGAIN || !awaitWritable())) {
                return false;
            }
        }
        return false;
    }

    private boolean awaitWritable() {
        WaitCancel present = cancel;
        if (present == null) {
            present = control.newWaitCancel();
            cancel = present;
        }
        waiting = true;
        boolean writable = control.awaitWritable(fd, present);
        waiting = false;
        if (!open) {
            FileDescriptor.close(fd); // Closed meanwhile; but the wait had to be over first.
        }
        return writable && open;
    }

    /** Nothing can follow on a piece of a message; neither sockets nor pipes cut ones as short as ours. */
    private int write(byte[] message) {
        int result = FileDescriptor.write(fd, message);
        if (result >= 0 && result < message.length) {
            close();
        }
        return result;
    }

    private static byte[] message(BackendRequest request, ByteBuffer payload) {
        byte[] message = new byte[MessageHeader.SIZE_BYTES + payload.remaining()];
        ByteBuffer buffer = Wire.wrap(message);
        request.header(payload.remaining()).encode(buffer);
        buffer.put(payload);
        return message;
    }

    @Override
    public void close() {
        if (open) {
            open = false;
            if (waiting && cancel != null) {
                cancel.cancel();
            } else {
                FileDescriptor.close(fd);
            }
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.socket;

import dev.vublk.vhostuser.ControlContext;
import dev.vublk.vhostuser.ControlContext.WaitCancel;
import dev.vublk.vhostuser.linux.Errno;
import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.protocol.BackendRequest;
import dev.vublk.vhostuser.protocol.MessageHeader;
import dev.vublk.vhostuser.protocol.VhostUserProtocolException;
import dev.vublk.vhostuser.protocol.Wire;
import java.nio.ByteBuffer;
import org.jspecify.annotations.Nullable;

/**
 * The way back, given by SET_BACKEND_REQ_FD: the back end's own messages. Owns the descriptor. Control loop.
 *
 * <p>One at a time may wait. Who sends messages that are answered has a {@link #duplicate} of its own, since there is but one who
 * reads; messages are so short that those of several senders do not get mixed up.
 */
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

    /** The same way for another sender, or null when no descriptor is left. */
    public @Nullable BackendRequestChannel duplicate() {
        int copy = open ? FileDescriptor.duplicate(fd) : -1;
        return copy < 0 ? null : new BackendRequestChannel(copy, control);
    }

    public boolean isOpen() {
        return open;
    }

    /** Sends a message without payload that wants no reply; best effort. Returns whether it went out. */
    public boolean send(BackendRequest request) {
        byte[] message = message(request.header(0), Wire.empty());
        return open && write(message) == message.length;
    }

    /**
     * Sends a message that wants no reply, waiting until the front end takes it. Returns whether it went out. One caller at a
     * time.
     */
    public boolean sendWaiting(BackendRequest request, ByteBuffer payload) {
        return sendWaiting(message(request.header(payload.remaining()), payload));
    }

    /** The same for a message that is to be acknowledged: see {@link #receiveAck}. */
    public boolean sendForAck(BackendRequest request, ByteBuffer payload) {
        return sendWaiting(message(request.headerNeedingReply(payload.remaining()), payload));
    }

    private boolean sendWaiting(byte[] message) {
        while (open) {
            int result = write(message);
            if (result == message.length) {
                return true;
            }
            if (result != -Errno.EINTR && (result != -Errno.EAGAIN || !await(true))) {
                return false;
            }
        }
        return false;
    }

    /**
     * Waits for the next acknowledgement. Those of several messages come in the order of the messages. Returns false when none
     * will come any more; what it says then is not known.
     */
    public boolean receiveAck(BackendRequest request) throws VhostUserProtocolException {
        byte[] head = new byte[MessageHeader.SIZE_BYTES];
        byte[] value = new byte[Long.BYTES];
        if (!fill(head)) {
            return false;
        }
        MessageHeader header = MessageHeader.decode(Wire.wrap(head));
        if (header.request() != request.id() || !header.isReply() || header.sizeBytes() != value.length) {
            close();
            throw new VhostUserProtocolException("message " + header.request() + " of " + header.sizeBytes()
                    + " bytes on the back end's channel instead of an acknowledgement of " + request);
        }
        return fill(value);
    }

    private boolean fill(byte[] target) {
        int filled = 0;
        while (open && filled < target.length) {
            byte[] piece = new byte[target.length - filled];
            int result = FileDescriptor.read(fd, piece);
            if (result > 0) {
                System.arraycopy(piece, 0, target, filled, result);
                filled += result;
            } else if (result != -Errno.EINTR && (result != -Errno.EAGAIN || !await(false))) {
                return false;
            }
        }
        return filled == target.length;
    }

    private boolean await(boolean toWrite) {
        WaitCancel present = cancel;
        if (present == null) {
            present = control.newWaitCancel();
            cancel = present;
        }
        waiting = true;
        boolean ready = toWrite ? control.awaitWritable(fd, present) : control.awaitReadable(fd, present);
        waiting = false;
        if (!open) {
            FileDescriptor.close(fd); // Closed meanwhile; but the wait had to be over first.
        }
        return ready && open;
    }

    /** Nothing can follow on a piece of a message; neither sockets nor pipes cut ones as short as ours. */
    private int write(byte[] message) {
        int result = FileDescriptor.write(fd, message);
        if (result >= 0 && result < message.length) {
            close();
        }
        return result;
    }

    private static byte[] message(MessageHeader header, ByteBuffer payload) {
        byte[] message = new byte[MessageHeader.SIZE_BYTES + payload.remaining()];
        ByteBuffer buffer = Wire.wrap(message);
        header.encode(buffer);
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

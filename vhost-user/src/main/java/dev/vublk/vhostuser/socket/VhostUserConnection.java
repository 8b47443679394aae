// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.socket;

import static java.util.Objects.requireNonNull;

import dev.vublk.vhostuser.ControlContext;
import dev.vublk.vhostuser.ControlContext.WaitCancel;
import dev.vublk.vhostuser.linux.Errno;
import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.linux.UnixSocket;
import dev.vublk.vhostuser.protocol.FrontendRequest;
import dev.vublk.vhostuser.protocol.MessageHeader;
import dev.vublk.vhostuser.protocol.VhostUserProtocolException;
import dev.vublk.vhostuser.protocol.Wire;
import java.io.IOException;
import java.nio.ByteBuffer;
import org.jspecify.annotations.Nullable;

/**
 * One front end's stream as whole messages with their descriptors. Owns the socket. Control loop; every wait goes through
 * the {@link ControlContext} and has no time limit: an idle front end is a healthy one.
 */
public final class VhostUserConnection implements AutoCloseable {
    private final int fd;
    private final String name;
    private final ControlContext control;
    private final WaitCancel cancel;
    private boolean open = true;

    /**
     * Takes ownership of a connected stream socket.
     *
     * @param name which socket it came through, for messages
     */
    public VhostUserConnection(int fd, String name, ControlContext control, WaitCancel cancel) {
        this.fd = fd;
        this.name = requireNonNull(name, "name");
        this.control = requireNonNull(control, "control");
        this.cancel = requireNonNull(cancel, "cancel");
    }

    public String name() {
        return name;
    }

    /**
     * The next message, or null when the front end has gone between two messages or the wait was cancelled.
     *
     * @throws VhostUserProtocolException the stream cannot be followed any further
     */
    public @Nullable VhostUserMessage receive() throws IOException, VhostUserProtocolException {
        // Waiting first, even when something is there, lets the loop serve others between two messages of a talkative
        // one.
        if (!control.awaitReadable(fd, cancel)) {
            return null;
        }
        AncillaryFds fds = new AncillaryFds();
        boolean complete = false;
        try {
            byte[] head = new byte[MessageHeader.SIZE_BYTES];
            if (!fill(head, fds, true)) {
                return null;
            }
            MessageHeader header = MessageHeader.decode(Wire.wrap(head));
            checkHeader(header);
            byte[] payload = new byte[header.sizeBytes()];
            if (!fill(payload, fds, false)) {
                return null;
            }
            complete = true;
            return new VhostUserMessage(header, Wire.wrap(payload), fds);
        } finally {
            if (!complete) {
                fds.close();
            }
        }
    }

    private static void checkHeader(MessageHeader header) throws VhostUserProtocolException {
        if (header.isReply()) {
            throw new VhostUserProtocolException("message " + header.request() + " is a reply to nothing");
        }
        int limit = FrontendRequest.payloadSizeBytesLimit(header.request());
        if (header.sizeBytes() > limit) {
            throw new VhostUserProtocolException("message " + header.request() + " claims a payload of "
                    + header.sizeBytes() + " bytes; the limit is " + limit);
        }
    }

    /**
     * Receives until the target is full; a stream may deliver a message in any pieces.
     *
     * @param mayEnd whether the stream may end before the first byte
     * @return false when it did, or when a wait was cancelled
     */
    private boolean fill(byte[] target, AncillaryFds fds, boolean mayEnd)
            throws IOException, VhostUserProtocolException {
        int filled = 0;
        while (filled < target.length) {
            int result = UnixSocket.receive(fd, target, filled, target.length - filled, fds::add);
            if (result > 0) {
                filled += result;
            } else if (result == 0 || result == -Errno.ECONNRESET) {
                if (mayEnd && filled == 0) {
                    return false;
                }
                throw new VhostUserProtocolException("the front end left in the middle of a message");
            } else if (result == -Errno.EAGAIN) {
                if (!control.awaitReadable(fd, cancel)) {
                    return false;
                }
            } else if (result == -Errno.ENOBUFS) {
                throw new VhostUserProtocolException("descriptors of a message were lost: too many open files");
            } else if (result != -Errno.EINTR) {
                throw new IOException("receiving from the front end: " + Errno.describe(result));
            }
        }
        return true;
    }

    /** Answers a message; descriptors that go with the answer stay the caller's. */
    public void sendReply(MessageHeader request, ByteBuffer payload, int... fds) throws IOException {
        byte[] message = new byte[MessageHeader.SIZE_BYTES + payload.remaining()];
        ByteBuffer buffer = Wire.wrap(message);
        request.reply(payload.remaining()).encode(buffer);
        buffer.put(payload);
        int sent = 0;
        while (sent < message.length) {
            int[] passed = sent == 0 ? fds : new int[0];
            int result = UnixSocket.send(fd, message, sent, message.length - sent, passed);
            if (result > 0) {
                sent += result;
            } else if (result == -Errno.EAGAIN) {
                if (!control.awaitWritable(fd, cancel)) {
                    return;
                }
            } else if (result != -Errno.EINTR) {
                throw new IOException("replying to the front end: " + Errno.describe(result));
            }
        }
    }

    @Override
    public void close() {
        if (open) {
            open = false;
            // A loop's poll may hold the socket a while longer: the front end must not wait for that to see the end.
            UnixSocket.shutdown(fd);
            FileDescriptor.close(fd);
        }
    }
}

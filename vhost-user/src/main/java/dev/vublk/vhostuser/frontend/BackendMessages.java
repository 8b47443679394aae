// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.frontend;

import dev.vublk.vhostuser.linux.Errno;
import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.linux.Poll;
import dev.vublk.vhostuser.linux.UnixSocket;
import dev.vublk.vhostuser.protocol.BackendRequest;
import dev.vublk.vhostuser.protocol.MessageHeader;
import dev.vublk.vhostuser.protocol.VhostUserProtocolException;
import dev.vublk.vhostuser.protocol.Wire;
import java.io.IOException;
import java.nio.ByteBuffer;
import org.jspecify.annotations.Nullable;

/**
 * The front end's end of the back-end channel: what the back end says on its own. Owns both sockets; the one to pass with
 * SET_BACKEND_REQ_FD stays open until {@link #close}. One thread at a time.
 */
public final class BackendMessages implements AutoCloseable {
    private static final int TIMEOUT_MS = 20_000;

    private final int fd;
    private final int passedFd;
    private ByteBuffer payload = Wire.empty();
    private boolean needsReply;
    private boolean open = true;

    private BackendMessages(int fd, int passedFd) {
        this.fd = fd;
        this.passedFd = passedFd;
    }

    public static BackendMessages open() throws IOException {
        int[] fds = new int[2];
        int result = UnixSocket.pair(fds);
        if (result < 0) {
            throw new IOException("socketpair: " + Errno.describe(result));
        }
        return new BackendMessages(fds[0], fds[1]);
    }

    /** The descriptor for the back end. */
    public int passedFd() {
        return passedFd;
    }

    /** Waits for the next message. Null for one that the protocol (as we know it) does not have. */
    public @Nullable BackendRequest next() throws IOException {
        try {
            MessageHeader header = MessageHeader.decode(receive(MessageHeader.SIZE_BYTES));
            payload = receive(header.sizeBytes());
            needsReply = header.needsReply();
            return BackendRequest.byId(header.request());
        } catch (VhostUserProtocolException e) {
            throw new IOException(e.reason(), e);
        }
    }

    /** What came with the last message. */
    public ByteBuffer payload() {
        return payload;
    }

    /** Whether the last message asked for an acknowledgement. */
    public boolean needsReply() {
        return needsReply;
    }

    /** Answers the last message: 0, or what is wrong. */
    public void acknowledge(BackendRequest request, long value) throws IOException {
        byte[] message = new byte[MessageHeader.SIZE_BYTES + Long.BYTES];
        ByteBuffer buffer = Wire.wrap(message);
        new MessageHeader(request.id(), MessageHeader.VERSION | MessageHeader.FLAG_REPLY, Long.BYTES).encode(buffer);
        buffer.putLong(value);
        int result = FileDescriptor.write(fd, message);
        if (result != message.length) {
            throw new IOException("acknowledging a message: " + result);
        }
    }

    /** Waits until a message has come, or another descriptor can be read. */
    public void awaitNextOr(int otherFd) throws IOException {
        if (Poll.await(fd, Poll.POLLIN, otherFd, TIMEOUT_MS) == 0) {
            throw new IOException("neither the back end nor the other has said anything for " + TIMEOUT_MS + " ms");
        }
    }

    /** Whether a message has come, without waiting. */
    public boolean hasNext() {
        return Poll.await(fd, Poll.POLLIN, -1, 0) > 0;
    }

    private ByteBuffer receive(int count) throws IOException {
        byte[] bytes = new byte[count];
        int received = 0;
        while (received < count) {
            if (Poll.await(fd, Poll.POLLIN, -1, TIMEOUT_MS) == 0) {
                throw new IOException("the back end has said nothing for " + TIMEOUT_MS + " ms");
            }
            int result = UnixSocket.receive(fd, bytes, received, count - received, FileDescriptor::close);
            if (result > 0) {
                received += result;
            } else if (result != -Errno.EAGAIN && result != -Errno.EINTR) {
                throw new IOException(result == 0 ? "the channel is closed" : "receive: " + Errno.describe(result));
            }
        }
        return Wire.wrap(bytes);
    }

    @Override
    public void close() {
        if (open) {
            open = false;
            FileDescriptor.close(fd);
            FileDescriptor.close(passedFd);
        }
    }
}

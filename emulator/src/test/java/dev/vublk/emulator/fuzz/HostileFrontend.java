// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.fuzz;

import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.linux.UnixSocket;
import dev.vublk.vhostuser.protocol.FrontendRequest;
import dev.vublk.vhostuser.protocol.MessageHeader;
import dev.vublk.vhostuser.protocol.ReplyRule;
import dev.vublk.vhostuser.protocol.Wire;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.Arrays;

/** A front end that says anything, and looks whether it is answered: whole replies, in the order of its questions. */
final class HostileFrontend {
    private static final int NO_FD = -1;

    private final FuzzedBackEnd backEnd;
    private int fd;

    /** What was sent whole and asked for an answer, the oldest first. */
    private final ArrayDeque<Integer> unanswered = new ArrayDeque<>();

    /** Bytes that end in the middle of a message were sent: what is in them cannot be told. */
    private boolean isConfused;

    private byte[] received = new byte[0];
    private long lastU64;
    private int inflightFd = NO_FD;

    HostileFrontend(FuzzedBackEnd backEnd, int fd) {
        this.backEnd = backEnd;
        this.fd = fd;
    }

    /** A region for requests in flight that the back end has given, or -1. */
    int inflightFd() {
        return inflightFd;
    }

    void send(FrontendRequest request, ByteBuffer payload, int... fds) {
        send(request.id(), MessageHeader.VERSION | MessageHeader.FLAG_NEED_REPLY, payload.remaining(), payload, fds);
    }

    /** A message whose header may lie. */
    void send(int id, int flags, int sizeBytes, ByteBuffer payload, int... fds) {
        byte[] bytes = new byte[MessageHeader.SIZE_BYTES + payload.remaining()];
        ByteBuffer message = Wire.wrap(bytes);
        boolean needsReply = (flags & MessageHeader.FLAG_NEED_REPLY) != 0;
        boolean isTold = sizeBytes == payload.remaining();
        new MessageHeader(id, flags, sizeBytes).encode(message);
        message.put(payload);
        if (!sendRaw(bytes, fds)) {
            return;
        }
        if (!isTold) {
            isConfused = true;
        } else if (needsReply || isQuestion(id)) {
            unanswered.add(id);
        }
    }

    private static boolean isQuestion(int id) {
        FrontendRequest request = FrontendRequest.byId(id);
        return request != null && request.replyRule() != ReplyRule.ACK;
    }

    /** Bytes that may be any part of a message. */
    void sendStray(byte[] bytes) {
        if (bytes.length > 0) {
            isConfused = true;
            sendRaw(bytes);
        }
    }

    /** Returns whether all of it went out; a back end that has gone takes nothing. */
    private boolean sendRaw(byte[] bytes, int... fds) {
        int sent = 0;
        for (int tries = 0; sent < bytes.length && tries < 8; tries++) {
            int result = UnixSocket.send(fd, bytes, sent, bytes.length - sent, sent == 0 ? fds : new int[0]);
            if (result > 0) {
                sent += result;
            } else {
                backEnd.settle(100);
                receive();
            }
        }
        isConfused |= sent < bytes.length;
        return sent == bytes.length;
    }

    /** Takes what has come, and looks at each whole reply. */
    void receive() {
        byte[] buffer = new byte[4096];
        int result = UnixSocket.receive(fd, buffer, 0, buffer.length, this::takeFd);
        while (result > 0) {
            int before = received.length;
            received = Arrays.copyOf(received, before + result);
            System.arraycopy(buffer, 0, received, before, result);
            result = UnixSocket.receive(fd, buffer, 0, buffer.length, this::takeFd);
        }
        int at = 0;
        while (received.length - at >= MessageHeader.SIZE_BYTES) {
            ByteBuffer header = Wire.wrap(received).position(at);
            int id = header.getInt();
            int flags = header.getInt();
            int size = header.getInt();
            if (received.length - at - MessageHeader.SIZE_BYTES < size) {
                break;
            }
            checkReply(id, flags, size);
            lastU64 = size == Long.BYTES ? header.getLong() : 0;
            at += MessageHeader.SIZE_BYTES + size;
        }
        received = Arrays.copyOfRange(received, at, received.length);
    }

    /** The number that the last reply carried. */
    long takeU64() {
        receive();
        return lastU64;
    }

    private void takeFd(int newFd) {
        if (inflightFd != NO_FD) {
            FileDescriptor.close(inflightFd);
        }
        inflightFd = newFd;
    }

    private void checkReply(int id, int flags, int size) {
        if (flags != (MessageHeader.VERSION | MessageHeader.FLAG_REPLY)
                || size > FrontendRequest.PAYLOAD_SIZE_BYTES_MAX) {
            throw new AssertionError("reply " + id + " with flags " + flags + " and " + size + " bytes");
        }
        if (isConfused) {
            return;
        }
        Integer asked = unanswered.poll();
        if (asked == null || asked != id) {
            throw new AssertionError("a reply to " + id + ", when " + asked + " was asked");
        }
    }

    /** With nothing left to wait for, everything must have been answered, unless the session has ended. */
    void checkAnswered() {
        backEnd.disk().completeAll();
        backEnd.settle(500);
        receive();
        if (backEnd.isServing() && !isConfused && !unanswered.isEmpty()) {
            throw new AssertionError("no answer to " + unanswered);
        }
    }

    /** Hangs up, or does it when the back end has hung up. */
    void close() {
        FileDescriptor.close(fd);
        fd = NO_FD;
        if (inflightFd != NO_FD) {
            FileDescriptor.close(inflightFd);
            inflightFd = NO_FD;
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.fuzz;

import dev.vublk.vhostuser.frontend.FrontendMemory;
import dev.vublk.vhostuser.linux.EventFd;
import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.linux.SharedMapping;
import dev.vublk.vhostuser.linux.UnixSocket;
import dev.vublk.vhostuser.memory.HostMemory;
import dev.vublk.vhostuser.protocol.MessageHeader;
import dev.vublk.vhostuser.protocol.Wire;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;

/** Memory and descriptors that a hostile front end passes: made once, as they are the same for every input. */
final class GuestFiles {
    static final int MEMORY_BYTES = 64 << 10;

    /** Where the guest sees {@link #main}. Behind it, adjoining, comes {@link #other}: a buffer may cross from one to the other. */
    static final long GUEST_ADDRESS = 0x10_0000;

    static final int OTHER_BYTES = 8 << 10;

    /** No multiple of a page: what follows in the last page is mapped, and nobody's business. */
    private static final int OTHER_SHARED_BYTES = OTHER_BYTES - 512;

    final FrontendMemory main;
    final FrontendMemory other;

    /** Is truncated now and then. */
    final FrontendMemory shrinking;

    /** A dirty log for both regions, sealed as QEMU's is. */
    final int logFd;

    final int kickFd = EventFd.create();
    final int callFd = EventFd.create();

    /** One end of a socket pair for messages of the back end, and other uses that nobody meant it for. */
    final int backendRequestFd;

    /** The front end's end of it. */
    private final int backendRequestReader;

    private final byte[] zeroes = new byte[MEMORY_BYTES];
    private boolean shrunk;

    GuestFiles() {
        try {
            main = FrontendMemory.create(GUEST_ADDRESS, MEMORY_BYTES);
            other = FrontendMemory.create(GUEST_ADDRESS + MEMORY_BYTES, OTHER_SHARED_BYTES, 0x1000);
            shrinking = FrontendMemory.create(GUEST_ADDRESS + (1 << 20), OTHER_BYTES);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        logFd = SharedMapping.createSealedFile("vublk-log", 4096);
        int[] pair = new int[2];
        UnixSocket.pair(pair);
        backendRequestFd = pair[0];
        backendRequestReader = pair[1];
    }

    /** Whatever an input left there is gone. */
    void reset() {
        if (shrunk) {
            SharedMapping.resize(shrinking.fd(), OTHER_BYTES);
            shrunk = false;
        }
        HostMemory.copyIn(zeroes, 0, main.hostAddress(), MEMORY_BYTES);
        HostMemory.copyIn(zeroes, 0, other.hostAddress(), OTHER_SHARED_BYTES);
        HostMemory.copyIn(zeroes, 0, shrinking.hostAddress(), OTHER_BYTES);
        EventFd.drain(kickFd);
        EventFd.drain(callFd);
        while (FileDescriptor.read(backendRequestReader, new byte[4096]) > 0) {
            // What an input before this one has left.
        }
    }

    /** From now on no message of the back end finds room: the front end does not read. */
    void fillBackendRequests() {
        while (FileDescriptor.write(backendRequestFd, zeroes) > 0) {
            // Until it is full.
        }
        while (FileDescriptor.write(backendRequestFd, new byte[1]) > 0) {
            // The last few bytes.
        }
    }

    /** Takes what the back end has said and acknowledges what asks for it: whole messages only, as the back end sends them. */
    void answerBackendRequests(long answer) {
        byte[] bytes = new byte[4096];
        int length = FileDescriptor.read(backendRequestReader, bytes);
        ByteBuffer said = Wire.wrap(bytes);
        while (said.position() + MessageHeader.SIZE_BYTES <= length) {
            int id = said.getInt();
            int flags = said.getInt();
            int size = said.getInt();
            said.position(Math.clamp(said.position() + (long) size, 0, said.limit()));
            if ((flags & MessageHeader.FLAG_NEED_REPLY) != 0) {
                byte[] reply = new byte[MessageHeader.SIZE_BYTES + Long.BYTES];
                ByteBuffer buffer = Wire.wrap(reply);
                new MessageHeader(id, MessageHeader.VERSION | MessageHeader.FLAG_REPLY, Long.BYTES).encode(buffer);
                buffer.putLong(answer);
                FileDescriptor.write(backendRequestReader, reply);
            }
        }
    }

    void shrink(int bytes) {
        shrunk = true;
        SharedMapping.resize(shrinking.fd(), bytes % OTHER_BYTES);
    }

    FrontendMemory memory(int which) {
        return switch (which % 3) {
            case 0 -> main;
            case 1 -> other;
            default -> shrinking;
        };
    }

    /** One of the descriptors, whatever it is for. */
    int fd(int which) {
        int[] all = {
            main.fd(), kickFd, callFd, other.fd(), shrinking.fd(), logFd, backendRequestFd,
        };
        return all[which % all.length];
    }
}

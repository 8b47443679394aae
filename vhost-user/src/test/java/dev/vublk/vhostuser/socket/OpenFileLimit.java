// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.socket;

import dev.vublk.vhostuser.BackendUnderTest;
import dev.vublk.vhostuser.RecordingDevice;
import dev.vublk.vhostuser.frontend.FrontendMemory;
import dev.vublk.vhostuser.frontend.VhostUserFrontend;
import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.protocol.FrontendRequest;
import dev.vublk.vhostuser.protocol.MemoryTable;
import dev.vublk.vhostuser.protocol.MessageHeader;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;

/** Run as a process of its own, with a low limit of open files: a back end that has none left, and goes on. */
public final class OpenFileLimit {
    private OpenFileLimit() {}

    /** Takes a directory; prints a line for each thing that went as it should. */
    public static void main(String[] arguments) throws Exception {
        try (BackendUnderTest backend = new BackendUnderTest(Path.of(arguments[0]));
                FrontendMemory memory = FrontendMemory.create(0, 1 << 20)) {
            // Everything once, so that all classes are loaded while files can be opened.
            exchange(backend, memory);
            VhostUserFrontend gone = backend.connect();
            backend.nextDevice();
            gone.close();
            if (isAnswered(gone)) {
                throw new AssertionError("a closed front end was answered");
            }
            Deque<Integer> hoard = new ArrayDeque<>();
            loseDescriptorsOfAMessage(backend, memory, hoard);
            turnAFrontEndAway(backend, memory, hoard);
            give(hoard, hoard.size());
            exchange(backend, memory);
            System.out.println("serves again");
        }
    }

    private static void exchange(BackendUnderTest backend, FrontendMemory memory) throws Exception {
        try (VhostUserFrontend frontend = backend.connect()) {
            frontend.needReply(true);
            if (!frontend.setMemTable(memory)) {
                throw new AssertionError("SET_MEM_TABLE was refused");
            }
            // A session that ends with a mistake, for its message's sake.
            frontend.needReply(false);
            frontend.setFeatures(-1);
            if (!frontend.awaitEnd()) {
                throw new AssertionError("SET_FEATURES was not refused");
            }
        }
        backend.nextDevice().awaitClosed();
    }

    private static void loseDescriptorsOfAMessage(BackendUnderTest backend, FrontendMemory memory, Deque<Integer> hoard)
            throws Exception {
        try (VhostUserFrontend frontend = backend.connect()) {
            frontend.getFeatures();
            RecordingDevice device = backend.nextDevice();
            take(hoard, memory.fd());
            give(hoard, 1);
            // Two descriptors come, one finds room.
            // An acknowledgement is asked for: a message that is merely refused would get one.
            MemoryTable table = new MemoryTable(List.of(memory.description()));
            frontend.send(
                    FrontendRequest.SET_MEM_TABLE,
                    MessageHeader.FLAG_NEED_REPLY,
                    table.encode(),
                    memory.fd(),
                    memory.fd());
            if (frontend.awaitEnd()) {
                System.out.println("session ended by lost descriptors");
            }
            device.awaitClosed();
            give(hoard, hoard.size());
        }
    }

    /** The back end may still be closing what the last session had: while a front end is answered, there was room for it. */
    private static void turnAFrontEndAway(BackendUnderTest backend, FrontendMemory memory, Deque<Integer> hoard)
            throws Exception {
        boolean answered = true;
        while (answered) {
            take(hoard, memory.fd());
            give(hoard, 1);
            try (VhostUserFrontend frontend = backend.connect()) {
                answered = isAnswered(frontend);
            }
            if (answered) {
                backend.nextDevice().awaitClosed();
            }
        }
        System.out.println("front end turned away");
    }

    private static boolean isAnswered(VhostUserFrontend frontend) {
        try {
            frontend.getFeatures();
            return true;
        } catch (IOException turnedAway) {
            return false;
        }
    }

    /** Opens until no more can be opened. */
    private static void take(Deque<Integer> hoard, int fd) {
        int duplicate = FileDescriptor.duplicate(fd);
        while (duplicate >= 0) {
            hoard.push(duplicate);
            duplicate = FileDescriptor.duplicate(fd);
        }
    }

    private static void give(Deque<Integer> hoard, int count) {
        for (int i = 0; i < count; i++) {
            FileDescriptor.close(hoard.pop());
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.vhostuser.BackendUnderTest;
import dev.vublk.vhostuser.ProcessResources;
import dev.vublk.vhostuser.RecordingDevice;
import dev.vublk.vhostuser.frontend.FrontendMemory;
import dev.vublk.vhostuser.frontend.VhostUserFrontend;
import dev.vublk.vhostuser.linux.EventFd;
import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.memory.HostMemory;
import dev.vublk.vhostuser.protocol.FrontendRequest;
import dev.vublk.vhostuser.protocol.MessageHeader;
import dev.vublk.vhostuser.protocol.Wire;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A front end that dies at any moment, a thousand that come and go, and what stays behind: nothing. */
final class FrontendDeathTest {
    private static final int ROUNDS = 1000;

    @TempDir
    private Path directory;

    /** One step of a front end's life. */
    private interface Step {
        void take(VhostUserFrontend frontend, FrontendMemory memory, FrontendMemory more, int eventFd)
                throws IOException;
    }

    private static final List<Step> LIFE = List.of(
            (frontend, memory, more, eventFd) -> frontend.getFeatures(),
            (frontend, memory, more, eventFd) -> frontend.setProtocolFeatures(frontend.getProtocolFeatures()),
            (frontend, memory, more, eventFd) -> frontend.needReply(true).setOwner(),
            (frontend, memory, more, eventFd) -> frontend.setBackendReqFd(eventFd),
            (frontend, memory, more, eventFd) -> frontend.setVringCall(0, eventFd),
            (frontend, memory, more, eventFd) -> frontend.setVringErr(0, eventFd),
            (frontend, memory, more, eventFd) -> frontend.setFeatures(1L << 32 | 1L << 30),
            (frontend, memory, more, eventFd) -> frontend.setMemTable(memory),
            (frontend, memory, more, eventFd) -> frontend.addMemReg(more),
            (frontend, memory, more, eventFd) -> frontend.setVringNum(0, 64),
            (frontend, memory, more, eventFd) -> frontend.setVringAddr(
                    0, memory.hostAddress(), memory.hostAddress() + 4096, memory.hostAddress() + 8192),
            (frontend, memory, more, eventFd) -> frontend.setVringKick(0, eventFd),
            (frontend, memory, more, eventFd) -> frontend.setVringEnable(0, true),
            (frontend, memory, more, eventFd) -> frontend.setVringCall(0, eventFd),
            (frontend, memory, more, eventFd) -> frontend.setVringKick(0, eventFd),
            (frontend, memory, more, eventFd) -> frontend.setMemTable(memory, more),
            (frontend, memory, more, eventFd) -> frontend.remMemReg(more),
            (frontend, memory, more, eventFd) -> frontend.getVringBase(0));

    @Test
    void shouldGiveEverythingBackAfterEachStep() throws Exception {
        try (BackendUnderTest backend = new BackendUnderTest(directory);
                FrontendMemory memory = FrontendMemory.create(0, 1 << 20);
                FrontendMemory more = FrontendMemory.create(1 << 20, 1 << 20)) {
            int eventFd = EventFd.create();
            ProcessResources before = settled(backend);
            for (int steps = 0; steps <= LIFE.size(); steps++) {
                VhostUserFrontend frontend = backend.connect();
                for (Step step : LIFE.subList(0, steps)) {
                    step.take(frontend, memory, more, eventFd);
                }
                frontend.close();
                assertEnded(backend.nextDevice());
                assertThat(settled(backend)).as("after %d steps", steps).isEqualTo(before);
            }
            FileDescriptor.close(eventFd);
        }
    }

    @Test
    void shouldGiveEverythingBackWhenTheFrontEndDiesInTheMiddleOfAMessage() throws Exception {
        try (BackendUnderTest backend = new BackendUnderTest(directory);
                FrontendMemory memory = FrontendMemory.create(0, 1 << 20)) {
            ProcessResources before = settled(backend);
            byte[] message = new byte[MessageHeader.SIZE_BYTES + 40];
            ByteBuffer buffer = Wire.wrap(message);
            new MessageHeader(FrontendRequest.ADD_MEM_REG.id(), MessageHeader.VERSION, 40).encode(buffer);
            for (int length = 1; length < message.length; length++) {
                VhostUserFrontend frontend = backend.connect();
                frontend.sendRaw(Arrays.copyOf(message, length), memory.fd(), memory.fd());
                frontend.close();
                assertEnded(backend.nextDevice());
            }
            assertThat(settled(backend)).isEqualTo(before);
        }
    }

    @Test
    void shouldLeaveNothingBehindAfterAThousandSessions() throws Exception {
        try (BackendUnderTest backend = new BackendUnderTest(directory);
                FrontendMemory memory = FrontendMemory.create(0, 1 << 20);
                FrontendMemory more = FrontendMemory.create(1 << 20, 1 << 20)) {
            int eventFd = EventFd.create();
            live(backend, memory, more, eventFd);
            ProcessResources before = settled(backend);
            long heapBefore = 0;
            for (int round = 0; round < ROUNDS; round++) {
                live(backend, memory, more, eventFd);
                if (round == ROUNDS / 4) {
                    heapBefore = heapBytes();
                }
            }
            assertThat(settled(backend)).isEqualTo(before);
            // A session's state is some kilobytes; a leak of it would be megabytes by now.
            assertThat(heapBytes() - heapBefore).isLessThan(1 << 20);
            FileDescriptor.close(eventFd);
        }
    }

    private static void live(BackendUnderTest backend, FrontendMemory memory, FrontendMemory more, int eventFd)
            throws Exception {
        try (VhostUserFrontend frontend = backend.connect()) {
            for (Step step : LIFE.subList(0, LIFE.size() - 1)) {
                step.take(frontend, memory, more, eventFd);
            }
        }
        assertEnded(backend.nextDevice());
    }

    private static long heapBytes() {
        System.gc();
        return Runtime.getRuntime().totalMemory() - Runtime.getRuntime().freeMemory();
    }

    private static void assertEnded(RecordingDevice device) throws Exception {
        device.awaitClosed();
        assertThat(device.broken()).isEmpty();
        assertThat(device.running).isEmpty();
        assertThat(device.calls).endsWith("close");
    }

    /** What the process holds while one more front end is connected: the session before has then been given back. */
    private static ProcessResources settled(BackendUnderTest backend) throws Exception {
        try (VhostUserFrontend frontend = backend.connect()) {
            frontend.getFeatures();
            backend.nextDevice();
            return ProcessResources.now();
        }
    }

    /** Memory under a queue that did not stop must stay mapped: unmapping it would end the process. */
    @Test
    void shouldLeakRatherThanUnmapUnderAQueueThatDoesNotStop() throws Exception {
        try (BackendUnderTest backend = new BackendUnderTest(directory);
                FrontendMemory memory = FrontendMemory.create(0, 1 << 20);
                FrontendMemory more = FrontendMemory.create(1 << 20, 1 << 20)) {
            int eventFd = EventFd.create();
            VhostUserFrontend frontend = backend.connect();
            for (Step step : LIFE.subList(0, 13)) {
                step.take(frontend, memory, more, eventFd);
            }
            RecordingDevice device = backend.nextDevice();
            assertThat(device.running).containsOnlyKeys(0);
            long usedAddress = device.setupOf(0).usedHostAddress();
            device.failStop = true;
            frontend.close();
            device.awaitClosed();
            settled(backend);
            assertThat(HostMemory.getInt(usedAddress)).isZero();
            FileDescriptor.close(eventFd);
        }
    }
}

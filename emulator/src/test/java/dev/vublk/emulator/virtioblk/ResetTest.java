// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import static dev.vublk.emulator.GuestRequest.*;
import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.emulator.EmulatorUnderTest;
import dev.vublk.emulator.Guest;
import dev.vublk.emulator.GuestQueue;
import dev.vublk.emulator.GuestRequest;
import dev.vublk.emulator.ScriptedDisk;
import dev.vublk.vhostuser.frontend.BackendMessages;
import dev.vublk.vhostuser.protocol.BackendRequest;
import dev.vublk.vhostuser.protocol.FrontendRequest;
import dev.vublk.vhostuser.protocol.Wire;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Resets of the device, and of one queue (virtio 1.2 sections 2.4 and 2.6.1), with requests in flight. */
final class ResetTest {
    private static final int WCE = 32;

    @TempDir
    Path directory;

    private final ScriptedDisk disk = new ScriptedDisk(4 << 20);
    private EmulatorUnderTest emulator;
    private Guest guest;

    @BeforeEach
    void start() throws Exception {
        emulator =
                new EmulatorUnderTest.Setup(directory).driver(disk).ioThreads(2).start();
        guest = Guest.connectWithAll(emulator);
    }

    @AfterEach
    void stop() {
        disk.release();
        guest.close();
        emulator.close();
    }

    private boolean resetDevice() throws Exception {
        return guest.frontend().set(FrontendRequest.RESET_DEVICE, Wire.empty());
    }

    private boolean setStatus(long status) throws Exception {
        return guest.frontend().set(FrontendRequest.SET_STATUS, Wire.u64(status));
    }

    @Test
    void shouldDrainQueuesThenStartAfresh() throws Exception {
        GuestQueue queue = guest.queue();
        assertThat(guest.frontend().setConfig(WCE, 0, (byte) 0)).isTrue();
        disk.hold();
        GuestRequest write = queue.submit(write(8, new byte[512]));
        assertThat(disk.nextCall().fua()).isTrue();
        Thread releasing = Thread.ofPlatform().start(disk::release);

        assertThat(resetDevice()).isTrue();

        releasing.join();
        assertThat(queue.take()).isSameAs(write);
        assertThat(write.status()).isEqualTo(OK);
        // Section 5.2.5.2: the write cache is as it was in the beginning.
        assertThat(guest.frontend().getConfig(WCE, 1)).containsExactly(1);
        assertThat(guest.frontend().setFeatures(guest.features())).isTrue();
        GuestQueue fresh = guest.queue(0, 64).start();
        assertThat(fresh.run(write(8, new byte[512])).status()).isEqualTo(OK);
        assertThat(disk.nextCall().fua()).isFalse();
    }

    @Test
    void shouldKeepTheGuestsWriteThroughWhenQemuPausesIt() throws Exception {
        guest.queue();
        assertThat(guest.frontend().setConfig(WCE, 0, (byte) 0)).isTrue();

        assertThat(setStatus(0)).isTrue();

        assertThat(guest.frontend().getConfig(WCE, 1)).containsExactly(0);
        assertThat(guest.frontend().setFeatures(guest.features())).isTrue();
        GuestQueue fresh = guest.queue(0, 64).start();
        assertThat(fresh.run(write(8, new byte[512])).status()).isEqualTo(OK);
        assertThat(disk.nextCall().fua()).isTrue();
    }

    /** RING_RESET: one queue stops and starts as another, its neighbour has a request in flight all the while. */
    @Test
    void shouldResetOneQueueWhileAnotherWorks() throws Exception {
        GuestQueue other = guest.queue(1, 16).start();
        GuestQueue queue = guest.queue(0, 128).start();
        assertThat(queue.run(read(0, 512)).status()).isEqualTo(OK);
        disk.nextCall();
        disk.hold();
        GuestRequest slow = other.submit(read(1, 512));
        disk.nextCall();

        assertThat(queue.stop()).isEqualTo(1);
        GuestQueue smaller = guest.queue(0, 32).start();

        GuestRequest serial = smaller.run(GuestRequest.of(GET_ID, 0).room(20));
        assertThat(serial.status()).isEqualTo(OK);
        assertThat(other.poll()).isNull();
        disk.release();
        assertThat(other.awaitOne()).isSameAs(slow);
    }

    @Test
    void shouldRecoverABrokenDeviceByAReset() throws Exception {
        try (BackendMessages messages = BackendMessages.open()) {
            assertThat(guest.frontend().setBackendReqFd(messages.passedFd())).isTrue();
            GuestQueue queue = guest.queue();
            assertThat(setStatus(15)).isTrue();
            queue.submit(GuestRequest.of(FLUSH, 0).withoutStatus());
            queue.awaitBroken();

            assertThat(messages.next()).isEqualTo(BackendRequest.CONFIG_CHANGE_MSG);
            assertThat(guest.frontend().askU64(FrontendRequest.GET_STATUS)).isEqualTo(15 | 64);
            assertThat(setStatus(0)).isTrue();
            assertThat(guest.frontend().askU64(FrontendRequest.GET_STATUS)).isZero();
            assertThat(guest.frontend().setFeatures(guest.features())).isTrue();
            assertThat(guest.queue(0, 64).start().run(read(0, 512)).status()).isEqualTo(OK);
        }
    }
}

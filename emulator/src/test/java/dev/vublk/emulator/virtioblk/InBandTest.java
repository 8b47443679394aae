// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import static dev.vublk.emulator.GuestRequest.*;
import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.emulator.EmulatorUnderTest;
import dev.vublk.emulator.Guest;
import dev.vublk.emulator.GuestQueue;
import dev.vublk.emulator.GuestRequest;
import dev.vublk.vhostuser.frontend.BackendMessages;
import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.protocol.BackendRequest;
import dev.vublk.vhostuser.protocol.FrontendRequest;
import dev.vublk.vhostuser.protocol.VringState;
import dev.vublk.vhostuser.session.OptionalFeature;
import dev.vublk.vhostuser.session.SessionOptions;
import java.io.IOException;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Queues without any eventfd: kicked by VRING_KICK, calling by VRING_CALL, as in Linux UML's time travel. */
final class InBandTest {
    @TempDir
    Path directory;

    private EmulatorUnderTest emulator;
    private Guest guest;
    private BackendMessages messages;

    @BeforeEach
    void start() throws Exception {
        emulator = new EmulatorUnderTest.Setup(directory)
                .session(SessionOptions.DEFAULT.with(OptionalFeature.IN_BAND_NOTIFICATIONS))
                .ioThreads(2)
                .start();
        guest = Guest.connectWithAll(emulator);
        messages = BackendMessages.open();
        assertThat(guest.frontend().setBackendReqFd(messages.passedFd())).isTrue();
    }

    @AfterEach
    void stop() {
        guest.close();
        emulator.close();
        messages.close();
    }

    private void kick(GuestQueue queue) throws IOException {
        assertThat(guest.frontend().set(FrontendRequest.VRING_KICK, new VringState(queue.index(), 0).encode()))
                .isTrue();
    }

    /** Sleeps until the next message about the queue. */
    private void await(BackendRequest what, GuestQueue queue) throws IOException {
        assertThat(messages.next()).isEqualTo(what);
        assertThat(VringState.decode(messages.payload())).isEqualTo(new VringState(queue.index(), 0));
    }

    private void run(GuestQueue queue, GuestRequest request) throws IOException {
        queue.add(request);
        queue.publish();
        kick(queue);
        while (queue.poll() != request) {
            if (!queue.ring().requestInterrupt()) {
                // Of any queue: a call may come for what was found without it.
                assertThat(messages.next()).isEqualTo(BackendRequest.VRING_CALL);
            }
        }
        assertThat(request.status()).isEqualTo(OK);
    }

    @Test
    void shouldServeQueuesByMessagesAlone() throws Exception {
        GuestQueue first = guest.queue(0, 16).startWithoutDescriptors();
        GuestQueue second = guest.queue(1, 16).startWithoutDescriptors();
        for (int i = 0; i < 200; i++) {
            run(first, read(i, 512));
            run(second, write(i, new byte[512]));
        }
        assertThat(first.stop()).isEqualTo(200);
        assertThat(second.stop()).isEqualTo(200);
    }

    /** A call that waits because the channel is full must neither hold others up nor outlive its session. */
    @Test
    void shouldSurviveAFrontEndThatDoesNotReadItsCalls() throws Exception {
        GuestQueue first = guest.queue(0, 16).startWithoutDescriptors();
        GuestQueue second = guest.queue(1, 16).startWithoutDescriptors();
        while (FileDescriptor.write(messages.passedFd(), new byte[20]) == 20) {}
        for (GuestQueue queue : new GuestQueue[] {first, second, first}) {
            GuestRequest request = queue.add(read(0, 512));
            queue.publish();
            queue.ring().requestInterrupt();
            kick(queue);
            assertThat(queue.spinForOne()).isSameAs(request);
        }
        guest.close();

        messages.close();
        messages = BackendMessages.open();
        guest = Guest.connectWithAll(emulator);
        assertThat(guest.frontend().setBackendReqFd(messages.passedFd())).isTrue();
        run(guest.queue(0, 16).startWithoutDescriptors(), read(0, 512));
    }

    @Test
    void shouldTellOfABrokenQueueByAMessage() throws Exception {
        GuestQueue queue = guest.queue(0, 16).startWithoutDescriptors();
        queue.add(GuestRequest.of(FLUSH, 0).withoutStatus());
        queue.publish();
        kick(queue);
        await(BackendRequest.VRING_ERR, queue);
        GuestQueue other = guest.queue(1, 16).startWithoutDescriptors();
        run(other, read(0, 512));
    }
}

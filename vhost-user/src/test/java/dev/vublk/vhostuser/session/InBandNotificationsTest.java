// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.vhostuser.frontend.BackendMessages;
import dev.vublk.vhostuser.protocol.BackendRequest;
import dev.vublk.vhostuser.protocol.FrontendRequest;
import dev.vublk.vhostuser.protocol.ProtocolFeature;
import dev.vublk.vhostuser.protocol.VringState;
import dev.vublk.vhostuser.virtqueue.VirtqueueSetup;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Kicks, calls and errors as messages (VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS), as Linux UML's time travel wants them. */
final class InBandNotificationsTest {
    @TempDir
    private Path directory;

    private SessionUnderTest session() throws Exception {
        return new SessionUnderTest(directory, SessionOptions.DEFAULT.with(OptionalFeature.IN_BAND_NOTIFICATIONS))
                .negotiateWithMemory();
    }

    /** Everything but descriptors, which none of these rings needs. */
    private static void prepare(SessionUnderTest session, int index) throws IOException {
        assertThat(session.frontend.setVringNum(index, SessionUnderTest.RING_SIZE))
                .isTrue();
        assertThat(session.frontend.setVringBase(index, 0)).isTrue();
        assertThat(session.setVringAddr(index)).isTrue();
        assertThat(session.frontend.setVringEnable(index, true)).isTrue();
    }

    private static boolean kick(SessionUnderTest session, int index, int num) throws IOException {
        return session.frontend.set(FrontendRequest.VRING_KICK, new VringState(index, num).encode());
    }

    private static void expect(BackendMessages messages, BackendRequest request, int index) throws IOException {
        assertThat(messages.next()).isEqualTo(request);
        assertThat(messages.needsReply()).isFalse();
        assertThat(VringState.decode(messages.payload())).isEqualTo(new VringState(index, 0));
        assertThat(messages.payload().remaining()).isZero();
    }

    @Test
    void shouldStartARingOnTheFirstKickMessage() throws Exception {
        try (SessionUnderTest session = session()) {
            prepare(session, 1);
            assertThat(session.device.running).isEmpty();

            assertThat(kick(session, 1, 0)).isTrue();

            VirtqueueSetup setup = session.device.setupOf(1);
            assertThat(setup.startNow()).isTrue();
            assertThat(setup.kickFd()).isEqualTo(VirtqueueSetup.IN_BAND);
            assertThat(setup.callFd()).isEqualTo(VirtqueueSetup.IN_BAND);
            assertThat(setup.errFd()).isEqualTo(VirtqueueSetup.IN_BAND);
            assertThat(session.device.calls).doesNotContain("kick 1");
            assertThat(kick(session, 1, 0)).isTrue();
            assertThat(session.device.calls).endsWith("kick 1");
        }
    }

    /** A kick that comes while the ring is disabled must not be lost. */
    @Test
    void shouldRememberAKickUntilTheRingIsEnabled() throws Exception {
        try (SessionUnderTest session = session()) {
            session.prepareRing(0);
            assertThat(kick(session, 0, 0)).isTrue();
            assertThat(session.device.running).isEmpty();
            assertThat(session.frontend.setVringEnable(0, true)).isTrue();
            assertThat(session.device.setupOf(0).startNow()).isTrue();
            assertThat(session.device.setupOf(0).kickFd()).isNotNegative();
        }
    }

    @Test
    void shouldPreferDescriptorsAndTakeNoneForPolling() throws Exception {
        try (SessionUnderTest session = session()) {
            prepare(session, 0);
            int call = session.eventFd();
            assertThat(session.frontend.setVringCall(0, call)).isTrue();
            assertThat(session.frontend.setVringErr(0, -1)).isTrue();
            assertThat(session.frontend.setVringKick(0, -1)).isTrue();

            VirtqueueSetup setup = session.device.setupOf(0);
            assertThat(setup.kickFd()).isEqualTo(VirtqueueSetup.NO_FD);
            assertThat(setup.callFd()).isNotNegative();
            assertThat(setup.errFd()).isEqualTo(VirtqueueSetup.NO_FD);
        }
    }

    @Test
    void shouldStopUntilTheNextKickMessage() throws Exception {
        try (SessionUnderTest session = session()) {
            prepare(session, 0);
            assertThat(kick(session, 0, 0)).isTrue();
            assertThat(session.frontend.getVringBase(0)).isZero();
            assertThat(session.device.running).isEmpty();
            assertThat(kick(session, 0, 0)).isTrue();
            assertThat(session.device.running).containsOnlyKeys(0);
        }
    }

    @Test
    void shouldRefuseReservedBitsAndRingsThatAreNotThere() throws Exception {
        try (SessionUnderTest session = session()) {
            prepare(session, 0);
            assertThat(kick(session, 0, 1)).isFalse();
            assertThat(kick(session, 4, 0)).isFalse();
            assertThat(kick(session, -1, 0)).isFalse();
            assertThat(session.device.running).isEmpty();
            session.assertAlive();
        }
    }

    @Test
    void shouldSendCallsAndErrorsAsMessages() throws Exception {
        try (SessionUnderTest session = session();
                BackendMessages messages = BackendMessages.open()) {
            assertThat(session.frontend.setBackendReqFd(messages.passedFd())).isTrue();
            prepare(session, 2);
            assertThat(kick(session, 2, 0)).isTrue();

            session.device.events().onUsed(2);
            expect(messages, BackendRequest.VRING_CALL, 2);
            session.device.events().onBroken(2);
            expect(messages, BackendRequest.VRING_ERR, 2);
            assertThat(messages.hasNext()).isFalse();
        }
    }

    @Test
    void shouldNotSendAnErrorThatAnEventfdHasTold() throws Exception {
        try (SessionUnderTest session = session();
                BackendMessages messages = BackendMessages.open()) {
            assertThat(session.frontend.setBackendReqFd(messages.passedFd())).isTrue();
            assertThat(session.frontend.setVringErr(0, session.eventFd())).isTrue();
            session.device.events().onBroken(0);
            session.device.events().onUsed(0);
            expect(messages, BackendRequest.VRING_CALL, 0);
        }
    }

    /** A call that gets lost would let the driver wait for ever. */
    @Test
    void shouldKeepCallsUntilThereIsAChannel() throws Exception {
        try (SessionUnderTest session = session();
                BackendMessages messages = BackendMessages.open()) {
            session.device.events().onUsed(1);
            session.device.events().onUsed(1);
            session.device.events().onUsed(0);
            assertThat(session.frontend.setBackendReqFd(messages.passedFd())).isTrue();
            expect(messages, BackendRequest.VRING_CALL, 0);
            expect(messages, BackendRequest.VRING_CALL, 1);
            assertThat(messages.hasNext()).isFalse();
        }
    }

    @Test
    void shouldWaitForAFrontEndThatDoesNotRead() throws Exception {
        try (SessionUnderTest session = session();
                BackendMessages messages = BackendMessages.open()) {
            assertThat(session.frontend.setBackendReqFd(messages.passedFd())).isTrue();
            int notified = 0;
            while (session.backend.server().notifyConfigChanged()) {
                assertThat(++notified).isLessThan(100_000);
            }
            // In its own thread: the device would call from a coroutine, which waits and holds nobody up.
            Thread waiting =
                    Thread.ofPlatform().start(() -> session.device.events().onUsed(3));
            session.assertAlive();

            for (int i = 0; i < notified; i++) {
                assertThat(messages.next()).isEqualTo(BackendRequest.CONFIG_CHANGE_MSG);
            }
            expect(messages, BackendRequest.VRING_CALL, 3);
            assertThat(waiting.join(Duration.ofSeconds(20))).isTrue();
        }
    }

    @Test
    void shouldStopWaitingForAFrontEndThatHasGone() throws Exception {
        try (SessionUnderTest session = session();
                BackendMessages messages = BackendMessages.open()) {
            assertThat(session.frontend.setBackendReqFd(messages.passedFd())).isTrue();
            while (session.backend.server().notifyConfigChanged()) {}
            Thread waiting =
                    Thread.ofPlatform().start(() -> session.device.events().onUsed(3));
            session.reconnect();
            assertThat(waiting.join(Duration.ofSeconds(20))).isTrue();
        }
    }

    @Test
    void shouldNotTakeKickMessagesThatWereNotNegotiated() throws Exception {
        try (SessionUnderTest session =
                new SessionUnderTest(directory, SessionOptions.DEFAULT.with(OptionalFeature.IN_BAND_NOTIFICATIONS))) {
            long protocol = session.frontend.getProtocolFeatures();
            session.frontend.setProtocolFeatures(protocol & ~ProtocolFeature.INBAND_NOTIFICATIONS.mask());
            session.frontend.needReply(true);
            session.frontend.setFeatures(session.frontend.getFeatures());
            assertThat(session.frontend.setMemTable(session.memory)).isTrue();
            prepare(session, 0);

            assertThat(kick(session, 0, 0)).isFalse();

            assertThat(session.device.running).isEmpty();
            assertThat(session.frontend.setVringKick(0, -1)).isTrue();
            assertThat(session.device.setupOf(0).callFd()).isEqualTo(VirtqueueSetup.NO_FD);
            session.assertAlive();
        }
    }
}

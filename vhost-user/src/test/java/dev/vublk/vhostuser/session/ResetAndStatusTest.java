// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.vhostuser.frontend.BackendMessages;
import dev.vublk.vhostuser.linux.EventFd;
import dev.vublk.vhostuser.protocol.BackendRequest;
import dev.vublk.vhostuser.protocol.FrontendRequest;
import dev.vublk.vhostuser.protocol.Wire;
import java.io.IOException;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** RESET_DEVICE, SET_STATUS and GET_STATUS (virtio 1.2 sections 2.1 and 2.4). */
final class ResetAndStatusTest {
    private static final long NEVER_OFFERED = 1L << 49;
    private static final int DRAINED_SIGNAL = 8;

    @TempDir
    private Path directory;

    private SessionUnderTest session() throws Exception {
        return new SessionUnderTest(directory).negotiateWithMemory();
    }

    private static boolean setStatus(SessionUnderTest session, long status) throws IOException {
        return session.frontend.set(FrontendRequest.SET_STATUS, Wire.u64(status));
    }

    private static long status(SessionUnderTest session) throws IOException {
        return session.frontend.askU64(FrontendRequest.GET_STATUS);
    }

    private static boolean reset(SessionUnderTest session, String how) throws IOException {
        return how.equals("RESET_DEVICE")
                ? session.frontend.set(FrontendRequest.RESET_DEVICE, Wire.empty())
                : setStatus(session, 0);
    }

    @ParameterizedTest
    @ValueSource(strings = {"RESET_DEVICE", "SET_STATUS"})
    void shouldStopAndForgetRingsOnReset(String how) throws Exception {
        try (SessionUnderTest session = session().runRing(0).runRing(1)) {
            session.device.basesAtStop.put(0, 7);

            assertThat(reset(session, how)).isTrue();

            assertThat(session.device.running).isEmpty();
            assertThat(session.device.calls).contains("stop 0", "stop 1");
            // Enabling alone starts nothing: all that was said of the ring is forgotten, but for where it stopped.
            assertThat(session.frontend.setVringEnable(0, true)).isTrue();
            assertThat(session.frontend.setVringKick(0, session.eventFd())).isTrue();
            assertThat(session.device.running).isEmpty();
            assertThat(session.frontend.getVringBase(0)).isEqualTo(7);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"RESET_DEVICE", "SET_STATUS"})
    void shouldRunAgainOnceADriverHasSetAllUpAnew(String how) throws Exception {
        try (SessionUnderTest session = session().runRing(0)) {
            int call = session.eventFd();
            assertThat(session.frontend.setVringCall(0, call)).isTrue();
            EventFd.drain(call);
            assertThat(reset(session, how)).isTrue();

            session.prepareRing(0);
            assertThat(session.frontend.setVringEnable(0, true)).isTrue();
            assertThat(session.device.running).isEmpty(); // The features are to be acknowledged anew.
            assertThat(session.frontend.setFeatures(session.frontend.getFeatures()))
                    .isTrue();

            assertThat(session.device.running).containsOnlyKeys(0);
            assertThat(session.device.lastSetup().startNow()).isFalse();
            // QEMU passes its call descriptors once a connection.
            EventFd.signal(session.device.lastSetup().callFd());
            assertThat(EventFd.drain(call)).isEqualTo(DRAINED_SIGNAL);
        }
    }

    /** QEMU sends status 0 when it pauses a machine too: the guest's choice of the write cache must not be lost then. */
    @Test
    void shouldResetTheDeviceByResetDeviceAlone() throws Exception {
        try (SessionUnderTest session = session()) {
            assertThat(reset(session, "SET_STATUS")).isTrue();
            assertThat(session.device.calls).doesNotContain("features 0");
            assertThat(reset(session, "RESET_DEVICE")).isTrue();
            assertThat(session.device.calls).contains("features 0");
        }
    }

    @Test
    void shouldKeepTheStatusThatADriverSets() throws Exception {
        try (SessionUnderTest session = session()) {
            assertThat(status(session)).isZero();
            for (int status : new int[] {1, 3, 11, 15, 128, 0}) {
                assertThat(setStatus(session, status)).isTrue();
                assertThat(status(session)).isEqualTo(status);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(longs = {0x100, -1, 1L << 32})
    void shouldRefuseAStatusOfMoreThanEightBits(long status) throws Exception {
        try (SessionUnderTest session = session()) {
            assertThat(setStatus(session, 1)).isTrue();
            assertThat(setStatus(session, status)).isFalse();
            assertThat(status(session)).isEqualTo(1);
            session.assertAlive();
        }
    }

    /** Virtio 1.2 section 3.1.1: the driver reads the status back to see whether its features were taken. */
    @Test
    void shouldNotKeepFeaturesOkAfterFeaturesThatWereRefused() throws Exception {
        try (SessionUnderTest session = session()) {
            session.frontend.needReply(false);
            long features = session.frontend.getFeatures();
            session.frontend.setFeatures(features | NEVER_OFFERED); // Without a status field this ends the session.

            setStatus(session, 11);
            assertThat(status(session)).isEqualTo(3);
            session.frontend.setFeatures(features);
            setStatus(session, 11);
            assertThat(status(session)).isEqualTo(11);

            session.frontend.setFeatures(NEVER_OFFERED);
            setStatus(session, 0);
            setStatus(session, 8);
            assertThat(status(session)).isEqualTo(8);
            session.assertAlive();
        }
    }

    /** Virtio 1.2 section 2.1.2: a broken device says so, and tells a driver that is at work. */
    @Test
    void shouldAskForAResetWhenAQueueHasBroken() throws Exception {
        try (SessionUnderTest session = session().runRing(0);
                BackendMessages messages = BackendMessages.open()) {
            assertThat(session.frontend.setBackendReqFd(messages.passedFd())).isTrue();
            assertThat(setStatus(session, 15)).isTrue();

            session.device.events().onBroken(0);

            assertThat(messages.next()).isEqualTo(BackendRequest.CONFIG_CHANGE_MSG);
            assertThat(status(session)).isEqualTo(15 | 64);
            assertThat(setStatus(session, 0)).isTrue();
            assertThat(status(session)).isZero();
            assertThat(messages.hasNext()).isFalse();
        }
    }

    @Test
    void shouldNotTellADriverThatIsNotAtWork() throws Exception {
        try (SessionUnderTest session = session().runRing(0);
                BackendMessages messages = BackendMessages.open()) {
            assertThat(session.frontend.setBackendReqFd(messages.passedFd())).isTrue();
            session.device.events().onBroken(0);
            assertThat(status(session)).isEqualTo(64);
            assertThat(messages.hasNext()).isFalse();
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.vhostuser.RecordingDevice;
import dev.vublk.vhostuser.linux.UserFault;
import dev.vublk.vhostuser.protocol.FrontendRequest;
import dev.vublk.vhostuser.protocol.MessageHeader;
import dev.vublk.vhostuser.protocol.ProtocolFeature;
import dev.vublk.vhostuser.protocol.Wire;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** GET/SET_FEATURES, GET/SET_PROTOCOL_FEATURES, GET_QUEUE_NUM, SET_OWNER, RESET_OWNER, and REPLY_ACK. */
final class FeatureNegotiationTest {
    private static final long RING_PACKED = 1L << 34;
    /** No bit of any specification so far. */
    private static final long NEVER_OFFERED = 1L << 49;

    private static final long NOTIFY_ON_EMPTY = 1L << 24;

    @TempDir
    private Path directory;

    @Test
    void shouldOfferTheDevicesFeaturesAndThoseOfTheRing() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory)) {
            assertThat(session.frontend.getFeatures())
                    .isEqualTo(RecordingDevice.FEATURES
                            | 1L << 26
                            | 1L << 28
                            | 1L << 29
                            | 1L << 30
                            | 1L << 32
                            | RING_PACKED
                            | 1L << 38
                            | 1L << 40);
        }
    }

    @Test
    void shouldTellTheDeviceWhatWasAcknowledged() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory)) {
            session.frontend.setFeatures(1L << 32 | 1L << 30 | 1L << 9);
            session.assertAlive();
            assertThat(session.device.calls).containsExactly("features 140000200");
        }
    }

    @Test
    void shouldRefuseFeaturesNeverOfferedWithAnErrorWhenAskedForAReply() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory)) {
            session.frontend.needReply(true);
            assertThat(session.frontend.setFeatures(1L << 32 | NEVER_OFFERED)).isFalse();
            assertThat(session.frontend.setFeatures(1L << 32 | NOTIFY_ON_EMPTY)).isFalse();
            session.assertAlive();
            assertThat(session.device.calls).isEmpty();
            assertThat(session.frontend.setFeatures(1L << 32)).isTrue();
        }
    }

    @Test
    void shouldEndTheSessionOnFeaturesNeverOfferedWithoutNeedReply() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory)) {
            session.frontend.setFeatures(1L << 32 | NEVER_OFFERED);
            session.assertEndedAndServing();
        }
    }

    @Test
    void shouldTakeTheSameFeaturesTwiceWithRingsRunning() throws Exception {
        try (SessionUnderTest session =
                new SessionUnderTest(directory).negotiateWithMemory().runRing(0)) {
            session.device.calls.clear();
            assertThat(session.frontend.setFeatures(session.frontend.getFeatures() & ~RING_PACKED))
                    .isTrue();
            assertThat(session.device.calls).isEmpty();
        }
    }

    @Test
    void shouldStopAndStartRingsAroundAChangeOfFeatures() throws Exception {
        try (SessionUnderTest session =
                new SessionUnderTest(directory).negotiateWithMemory().runRing(0)) {
            session.device.calls.clear();
            session.device.basesAtStop.put(0, 7);
            assertThat(session.frontend.setFeatures(1L << 32 | 1L << 30)).isTrue();
            assertThat(session.device.calls).containsExactly("stop 0", "features 140000000", "start 0");
            assertThat(session.device.lastSetup().features()).isEqualTo(1L << 32 | 1L << 30);
            assertThat(session.device.lastSetup().base()).isEqualTo(7);
        }
    }

    /** vhost-user "Ring states": without VHOST_USER_F_PROTOCOL_FEATURES the rings are enabled from the start. */
    @Test
    void shouldEnableAllRingsBySetFeaturesWithoutProtocolFeatures() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory)) {
            session.frontend.needReply(true);
            assertThat(session.frontend.setFeatures(1L << 32)).isTrue();
            assertThat(session.frontend.setMemTable(session.memory)).isTrue();
            session.prepareRing(0).prepareRing(2);
            assertThat(session.device.running).containsOnlyKeys(0, 2);
        }
    }

    @Test
    void shouldEnableRingsThatWereSetUpBeforeSetFeatures() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory)) {
            session.frontend.needReply(true);
            assertThat(session.frontend.setMemTable(session.memory)).isTrue();
            session.prepareRing(1);
            assertThat(session.device.running).isEmpty();
            assertThat(session.frontend.setFeatures(1L << 32)).isTrue();
            assertThat(session.device.running).containsOnlyKeys(1);
        }
    }

    @Test
    void shouldNotRunAnEnabledRingBeforeFeaturesWereAcknowledged() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory)) {
            session.frontend.needReply(true);
            assertThat(session.frontend.setMemTable(session.memory)).isTrue();
            session.prepareRing(0);
            assertThat(session.frontend.setVringEnable(0, true)).isTrue();
            assertThat(session.device.running).isEmpty();
            assertThat(session.frontend.setFeatures(1L << 32 | 1L << 30)).isTrue();
            assertThat(session.device.calls).containsExactly("features 140000000", "start 0");
        }
    }

    @Test
    void shouldOfferExactlyTheProtocolFeaturesThatItHas() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory)) {
            assertThat(session.frontend.getProtocolFeatures())
                    .isEqualTo(ProtocolFeature.MQ.mask()
                            | ProtocolFeature.LOG_SHMFD.mask()
                            | ProtocolFeature.REPLY_ACK.mask()
                            | ProtocolFeature.BACKEND_REQ.mask()
                            | ProtocolFeature.CONFIG.mask()
                            | ProtocolFeature.INFLIGHT_SHMFD.mask()
                            | ProtocolFeature.RESET_DEVICE.mask()
                            | ProtocolFeature.CONFIGURE_MEM_SLOTS.mask()
                            | ProtocolFeature.STATUS.mask()
                            | ProtocolFeature.DEVICE_STATE.mask()
                            | (UserFault.isAvailable() ? ProtocolFeature.PAGEFAULT.mask() : 0));
        }
    }

    @Test
    void shouldOfferWhatCostsSomethingOnlyWhenAskedFor() throws Exception {
        long plain;
        long plainProtocol;
        try (SessionUnderTest session = new SessionUnderTest(directory)) {
            plain = session.frontend.getFeatures();
            plainProtocol = session.frontend.getProtocolFeatures();
        }
        try (SessionUnderTest session = new SessionUnderTest(
                directory,
                SessionOptions.DEFAULT.with(
                        OptionalFeature.IN_ORDER,
                        OptionalFeature.ORDER_PLATFORM,
                        OptionalFeature.IN_BAND_NOTIFICATIONS,
                        OptionalFeature.GPA_ADDRESSES))) {
            assertThat(session.frontend.getFeatures()).isEqualTo(plain | 1L << 35 | 1L << 36);
            assertThat(session.frontend.getProtocolFeatures()).isEqualTo(plainProtocol | 1L << 14 | 1L << 21);
            session.negotiate();
            assertThat(session.device.calls.getLast())
                    .isEqualTo("features "
                            + Long.toHexString(((plain & ~RING_PACKED) | 1L << 35 | 1L << 36) & ~(1L << 26)));
        }
    }

    @Test
    void shouldRefuseProtocolFeaturesNeverOffered() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory)) {
            session.frontend.needReply(true);
            assertThat(session.frontend.setProtocolFeatures(ProtocolFeature.RARP.mask()))
                    .isFalse();
            session.assertAlive();
            session.frontend.needReply(false);
            session.frontend.setProtocolFeatures(ProtocolFeature.RARP.mask());
            session.assertEndedAndServing();
        }
    }

    /** Linux UML asks for the acknowledgement of the very message that switches acknowledgements on. */
    @Test
    void shouldAcknowledgeSetProtocolFeaturesItself() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory)) {
            session.frontend.needReply(true);
            assertThat(session.frontend.setProtocolFeatures(ProtocolFeature.REPLY_ACK.mask()))
                    .isTrue();
        }
    }

    @Test
    void shouldNotReplyToSetMessagesThatDoNotAskForIt() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory)) {
            session.frontend.needReply(false);
            session.frontend.setOwner();
            session.frontend.setProtocolFeatures(0);
            session.frontend.setFeatures(1L << 32);
            // The next thing to be read is the answer to this one.
            session.assertAlive();
        }
    }

    /** A message with a reply of its own has only that, also with NEED_REPLY; and the reply has the flag cleared. */
    @Test
    void shouldAnswerAMessageWithItsOwnReplyOnceWithNeedReply() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory)) {
            session.frontend.send(FrontendRequest.GET_FEATURES, MessageHeader.FLAG_NEED_REPLY, Wire.empty());
            assertThat(session.frontend
                            .receiveReply(FrontendRequest.GET_FEATURES, Long.BYTES)
                            .getLong())
                    .isNotZero();
            session.frontend.send(FrontendRequest.GET_PROTOCOL_FEATURES, 0, Wire.empty());
            assertThat(session.frontend.receiveHeader().request())
                    .isEqualTo(FrontendRequest.GET_PROTOCOL_FEATURES.id());
        }
    }

    /** QEMU refuses to connect when it wants more queues than there are. */
    @Test
    void shouldSayHowManyQueuesTheDeviceHas() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory).negotiate()) {
            assertThat(session.frontend.getQueueNum()).isEqualTo(RecordingDevice.QUEUES);
        }
    }

    /** QEMU refuses a back end that offers fewer slots after a reconnect than before. */
    @Test
    void shouldOfferTheSameMemorySlotsOnEveryConnection() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory).negotiate()) {
            assertThat(session.frontend.getMaxMemSlots()).isEqualTo(509);
            session.reconnect();
            session.negotiate();
            assertThat(session.frontend.getMaxMemSlots()).isEqualTo(509);
        }
    }

    @Test
    void shouldDisableAllRingsOnResetOwner() throws Exception {
        try (SessionUnderTest session =
                new SessionUnderTest(directory).negotiateWithMemory().runRing(0).runRing(3)) {
            assertThat(session.frontend.resetOwner()).isTrue();
            assertThat(session.device.running).isEmpty();
            assertThat(session.frontend.setVringEnable(0, true)).isTrue();
            assertThat(session.device.running).containsOnlyKeys(0);
        }
    }

    @Test
    void shouldTakeSetOwnerMoreThanOnce() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory)) {
            session.frontend.needReply(true);
            assertThat(session.frontend.setOwner()).isTrue();
            assertThat(session.frontend.setOwner()).isTrue();
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.vublk.vhostuser.ProcessResources;
import dev.vublk.vhostuser.frontend.FrontendInflight;
import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.linux.FileStatus;
import dev.vublk.vhostuser.linux.SharedMapping;
import dev.vublk.vhostuser.memory.HostMemory;
import dev.vublk.vhostuser.protocol.FrontendRequest;
import dev.vublk.vhostuser.protocol.InflightDescription;
import dev.vublk.vhostuser.protocol.ProtocolFeature;
import dev.vublk.vhostuser.virtqueue.InflightBlock;
import dev.vublk.vhostuser.virtqueue.InflightRegion;
import dev.vublk.vhostuser.virtqueue.VirtioFeature;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** GET_INFLIGHT_FD and SET_INFLIGHT_FD: which regions are made and taken, and what a ring gets of them. */
final class InflightMessagesTest {
    private static final int QUEUES = 2;

    /** Where the in-flight block of a queue has its version: 0 while it is fresh. */
    private static final int VERSION = 8;

    private static final int PERMISSION = 1; // EPERM

    @TempDir
    private Path directory;

    private static FrontendInflight getRegion(SessionUnderTest session) throws IOException {
        return session.frontend.getInflightFd(QUEUES, SessionUnderTest.RING_SIZE);
    }

    private static InflightBlock blockOf(SessionUnderTest session, int index) {
        return Objects.requireNonNull(session.device.setupOf(index).inflight());
    }

    @Test
    void shouldMakeARegionThatNobodyCanTruncate() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory).negotiate();
                FrontendInflight region = getRegion(session)) {
            InflightDescription description = region.description();
            assertThat(description.mmapOffsetBytes()).isZero();
            assertThat(description.queueCount()).isEqualTo(QUEUES);
            assertThat(description.queueSize()).isEqualTo(SessionUnderTest.RING_SIZE);
            // 16 bytes a descriptor and a queue, on cache lines of its own.
            assertThat(description.mmapSizeBytes()).isEqualTo(QUEUES * (64 + 16L * SessionUnderTest.RING_SIZE));
            FileStatus file = Objects.requireNonNull(FileStatus.ofDescriptor(region.fd()));
            assertThat(file.sizeBytes()).isEqualTo(description.mmapSizeBytes());
            assertThat(SharedMapping.resize(region.fd(), 0)).isEqualTo(-PERMISSION);
        }
    }

    /** QEMU sends the structure with its padding and takes no other answer; others send it without. */
    @ParameterizedTest
    @CsvSource({"20", "24"})
    void shouldAnswerInTheSizeOfTheQuestion(int sizeBytes) throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory).negotiate()) {
            session.frontend.send(
                    FrontendRequest.GET_INFLIGHT_FD, 0, new InflightDescription(0, 0, 1, 128).encode(sizeBytes));
            assertThat(session.frontend
                            .receiveReply(FrontendRequest.GET_INFLIGHT_FD)
                            .remaining())
                    .isEqualTo(sizeBytes);
            session.assertAlive();
        }
    }

    @ParameterizedTest
    @CsvSource({"0, 128", "5, 128", "1, 0", "1, 1025", "65535, 65535"})
    void shouldEndTheSessionThatAsksForAnImpossibleRegion(int queueCount, int queueSize) throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory).negotiate()) {
            assertThatThrownBy(() -> session.frontend.getInflightFd(queueCount, queueSize))
                    .isInstanceOf(IOException.class);
            session.device.awaitClosed();
            session.reconnect();
            session.assertAlive();
        }
    }

    @Test
    void shouldGiveEachRingItsOwnBlock() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory).negotiateWithMemory();
                FrontendInflight region = getRegion(session)) {
            assertThat(session.frontend.setInflightFd(region)).isTrue();
            session.runRing(0).runRing(1);

            long stride =
                    blockOf(session, 1).hostAddress() - blockOf(session, 0).hostAddress();
            assertThat(stride).isEqualTo(region.description().mmapSizeBytes() / QUEUES);
            assertThat(blockOf(session, 0).hostAddress() % 64).isZero();
            assertThat(blockOf(session, 0).descCount()).isEqualTo(SessionUnderTest.RING_SIZE);
            assertThat(session.device.setupOf(0).startNow()).isFalse();
        }
    }

    @Test
    void shouldRunRingsWithoutRegionWhenNoneWasSet() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory).negotiateWithMemory();
                FrontendInflight region = getRegion(session)) {
            session.runRing(0);
            assertThat(session.device.setupOf(0).inflight()).isNull();
            assertThat(region.fd()).isNotNegative();
        }
    }

    /** QEMU's order: the region before features, memory and rings; and the same file again after a reconnect. */
    @Test
    void shouldFindWhatTheLastConnectionLeftAndLookAtTheRingAtOnce() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory).negotiate();
                FrontendInflight region = getRegion(session)) {
            assertThat(session.frontend.setInflightFd(region)).isTrue();
            assertThat(session.frontend.setMemTable(session.memory)).isTrue();
            session.runRing(0);
            HostMemory.putU16(blockOf(session, 0).hostAddress() + VERSION, 1);

            session.reconnect();
            session.negotiate();
            assertThat(session.frontend.setInflightFd(region)).isTrue();
            assertThat(session.frontend.setMemTable(session.memory)).isTrue();
            session.runRing(0);

            assertThat(blockOf(session, 0).isInUse()).isTrue();
            assertThat(session.device.setupOf(0).startNow()).isTrue();
        }
    }

    @Test
    void shouldStopRingsWhileTheRegionIsReplaced() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory).negotiateWithMemory();
                FrontendInflight first = getRegion(session);
                FrontendInflight second = getRegion(session)) {
            assertThat(session.frontend.setInflightFd(first)).isTrue();
            session.runRing(0);
            long before = blockOf(session, 0).hostAddress();
            HostMemory.putU16(before + VERSION, 1);
            assertThat(session.frontend.setInflightFd(second)).isTrue();

            assertThat(session.device.calls).endsWith("start 0", "stop 0", "start 0");
            assertThat(blockOf(session, 0).isInUse()).isFalse();
        }
    }

    @Test
    void shouldRefuseARingThatHasNoPlaceInTheRegion() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory).negotiateWithMemory();
                FrontendInflight region = session.frontend.getInflightFd(2, SessionUnderTest.RING_SIZE / 2)) {
            assertThat(session.frontend.setInflightFd(region)).isTrue();
            session.prepareRing(0);
            assertThat(session.frontend.setVringEnable(0, true)).as("too large").isFalse();
            assertThat(session.frontend.setVringNum(0, SessionUnderTest.RING_SIZE / 2))
                    .isTrue();
            assertThat(session.device.running).containsOnlyKeys(0);
            session.prepareRing(2);
            assertThat(session.frontend.setVringNum(2, SessionUnderTest.RING_SIZE / 2))
                    .isTrue();
            assertThat(session.frontend.setVringEnable(2, true)).as("too many").isFalse();
            session.assertAlive();
        }
    }

    private static SessionUnderTest packed(SessionUnderTest session) throws IOException {
        session.negotiatePacked();
        assertThat(session.frontend.setMemTable(session.memory)).isTrue();
        return session;
    }

    @Test
    void shouldMakeLargerRegionsForPackedRings() throws Exception {
        try (SessionUnderTest session = packed(new SessionUnderTest(directory));
                FrontendInflight region = getRegion(session)) {
            // 32 bytes a descriptor and a queue, on cache lines of its own.
            assertThat(region.description().mmapSizeBytes())
                    .isEqualTo(QUEUES * (64 + 32L * SessionUnderTest.RING_SIZE));
            assertThat(session.frontend.setInflightFd(region)).isTrue();
            session.runRing(0).runRing(1);
            assertThat(blockOf(session, 1).hostAddress() - blockOf(session, 0).hostAddress())
                    .isEqualTo(region.description().mmapSizeBytes() / QUEUES);
        }
    }

    @Test
    void shouldRefuseARegionThatIsTooSmallForPackedRings() throws Exception {
        try (SessionUnderTest session = packed(new SessionUnderTest(directory))) {
            assertThat(setRegion(session, InflightRegion.sizeBytes(2, 128, false), 0, 2, 128))
                    .isFalse();
            assertThat(setRegion(session, InflightRegion.sizeBytes(2, 128, true), 0, 2, 128))
                    .isTrue();
            session.assertAlive();
        }
    }

    /** Set before the features, when nobody knows of which kind the rings will be. */
    @Test
    void shouldRefuseToStartAPackedRingInARegionForSplitOnes() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory)) {
            session.frontend.setProtocolFeatures(session.frontend.getProtocolFeatures());
            session.frontend.needReply(true);
            assertThat(setRegion(session, InflightRegion.sizeBytes(2, 128, false), 0, 2, 128))
                    .isTrue();
            packed(session).prepareRing(0);
            assertThat(session.frontend.setVringEnable(0, true)).isFalse();
            session.assertAlive();
        }
    }

    /** A guest's firmware has split rings, its operating system packed ones: the region of one says nothing of the other. */
    @Test
    void shouldForgetARegionOfTheOtherKindOfRing() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory).negotiateWithMemory();
                FrontendInflight region = getRegion(session)) {
            assertThat(session.frontend.setInflightFd(region)).isTrue();
            session.runRing(0);
            session.frontend.getVringBase(0);
            assertThat(session.frontend.setFeatures(session.frontend.getFeatures()))
                    .isTrue();
            session.runRing(0);
            assertThat(session.device.setupOf(0).inflight()).isNull();
        }
    }

    /** A packed ring does not tell where it stands: its block does, but not any more when the front end begins another ring. */
    @ParameterizedTest
    @CsvSource({"true, false", "false, true"})
    void shouldTellWhetherTheRingIsNew(boolean sameBase, boolean isNew) throws Exception {
        try (SessionUnderTest session = packed(new SessionUnderTest(directory));
                FrontendInflight region = getRegion(session)) {
            assertThat(session.frontend.setInflightFd(region)).isTrue();
            session.runRing(0);
            assertThat(blockOf(session, 0).ringIsNew()).isFalse();
            int base = session.frontend.getVringBase(0);
            session.prepareRing(0);
            assertThat(session.frontend.setVringBase(0, sameBase ? base : 0x80018001))
                    .isTrue();
            assertThat(session.frontend.setVringEnable(0, true)).isTrue();
            assertThat(blockOf(session, 0).ringIsNew()).isEqualTo(isNew);
        }
    }

    private static boolean setRegion(SessionUnderTest session, long size, long offset, int queues, int queueSize)
            throws IOException {
        int fd = SharedMapping.createMemoryFile("vublk-inflight", 1 << 16);
        try {
            return session.frontend.setInflightFd(new InflightDescription(size, offset, queues, queueSize), fd);
        } finally {
            FileDescriptor.close(fd);
        }
    }

    @Test
    void shouldTakeARegionAnywhereInItsFile() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory).negotiateWithMemory()) {
            assertThat(setRegion(session, 1 << 15, 1 << 15, 2, 128)).isTrue();
            assertThat(setRegion(session, 1 << 13, 0x2c0, 2, 128)).isTrue();
            session.runRing(0);
            assertThat(blockOf(session, 0).hostAddress() % 4096).isEqualTo(0x2c0);
        }
    }

    @ParameterizedTest
    @CsvSource({
        "0, 0, 2, 128, nothing",
        "4095, 0, 2, 128, too small",
        "65537, 0, 2, 128, beyond the file",
        "65536, 4096, 2, 128, offset and size beyond the file",
        "8192, 8, 2, 128, misaligned",
        "8192, -4096, 2, 128, negative offset",
        "-1, 0, 2, 128, more than everything",
        "9223372036854775807, 4096, 2, 128, overflow",
        "8192, 9223372036854775744, 2, 128, overflow",
        "8192, 0, 0, 128, no queues",
        "8192, 0, 65535, 128, too many queues for it",
        "8192, 0, 2, 0, no descriptors",
        "65536, 0, 1, 65535, more descriptors than any ring"
    })
    void shouldRefuseAnImpossibleRegion(long size, long offset, int queues, int queueSize, String why)
            throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory).negotiateWithMemory()) {
            session.runRing(0);
            assertThat(setRegion(session, size, offset, queues, queueSize))
                    .as(why)
                    .isFalse();
            assertThat(session.device.running).as("rings go on").containsKey(0);
            session.assertAlive();
        }
    }

    @Test
    void shouldRefuseWhatIsNoFile() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory).negotiateWithMemory()) {
            assertThat(session.frontend.setInflightFd(new InflightDescription(8192, 0, 2, 128), session.eventFd()))
                    .isFalse();
            session.assertAlive();
        }
    }

    /** A region that the front end made itself, and truncates before the ring starts. */
    @Test
    void shouldOutliveARegionThatIsGone() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory).negotiateWithMemory()) {
            int fd = SharedMapping.createMemoryFile("vublk-inflight", 1 << 16);
            InflightDescription description =
                    new InflightDescription(InflightRegion.sizeBytes(QUEUES, 128, false), 0, QUEUES, 128);
            assertThat(session.frontend.setInflightFd(description, fd)).isTrue();
            assertThat(SharedMapping.resize(fd, 0)).isZero();
            session.prepareRing(0);
            assertThatThrownBy(() -> session.frontend.setVringEnable(0, true)).isInstanceOf(IOException.class);
            FileDescriptor.close(fd);
            session.device.awaitClosed();
            session.reconnect();
            session.assertAlive();
        }
    }

    @Test
    void shouldNotServeTheMessagesWithoutTheFeature() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory)) {
            session.frontend.setProtocolFeatures(ProtocolFeature.REPLY_ACK.mask());
            session.frontend.needReply(true);
            assertThat(setRegion(session, 8192, 0, 2, 128)).isFalse();
            session.assertAlive();
        }
    }

    /** Whatever else stops a ring has it drained: only who asks for the base knows that requests may be left. */
    @Test
    void shouldLeaveRequestsWhenTheBaseIsAskedForAndTheFrontEndKnows() throws Exception {
        SessionOptions offer = SessionOptions.DEFAULT.with(OptionalFeature.GET_VRING_BASE_INFLIGHT);
        try (SessionUnderTest session = new SessionUnderTest(directory, offer).negotiateWithMemory();
                FrontendInflight region = getRegion(session)) {
            assertThat(session.frontend.setInflightFd(region)).isTrue();
            session.runRing(0).runRing(1);
            assertThat(session.frontend.setVringEnable(1, false)).isTrue();
            session.frontend.getVringBase(0);
            assertThat(session.device.calls).contains("stop 0 leaving requests", "stop 1");
        }
    }

    @Test
    void shouldDrainForAFrontEndThatDoesNotKnow() throws Exception {
        SessionOptions offer = SessionOptions.DEFAULT.with(OptionalFeature.GET_VRING_BASE_INFLIGHT);
        try (SessionUnderTest session = new SessionUnderTest(directory, offer)) {
            session.frontend.setProtocolFeatures(
                    session.frontend.getProtocolFeatures() & ~ProtocolFeature.GET_VRING_BASE_INFLIGHT.mask());
            session.frontend.needReply(true);
            assertThat(session.frontend.setFeatures(
                            session.frontend.getFeatures() & ~VirtioFeature.VIRTIO_F_RING_PACKED))
                    .isTrue();
            assertThat(session.frontend.setMemTable(session.memory)).isTrue();
            try (FrontendInflight region = getRegion(session)) {
                assertThat(session.frontend.setInflightFd(region)).isTrue();
                session.runRing(0);
                session.frontend.getVringBase(0);
            }
            assertThat(session.device.calls).contains("stop 0");
        }
    }

    @Test
    void shouldGiveRegionsBack() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory).negotiateWithMemory();
                FrontendInflight last = getRegion(session)) {
            session.runRing(0);
            assertThat(session.frontend.setInflightFd(last)).isTrue();
            session.assertAlive();
            ProcessResources before = ProcessResources.now();
            for (int i = 0; i < 100; i++) {
                try (FrontendInflight region = getRegion(session)) {
                    assertThat(session.frontend.setInflightFd(region)).isTrue();
                }
            }
            assertThat(session.frontend.setInflightFd(last)).isTrue();
            session.assertAlive();
            assertThat(ProcessResources.now()).isEqualTo(before);
        }
    }
}

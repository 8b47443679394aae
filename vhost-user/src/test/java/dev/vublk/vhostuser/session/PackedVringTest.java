// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.vhostuser.frontend.PackedDriverVirtqueue;
import dev.vublk.vhostuser.memory.HostMemory;
import dev.vublk.vhostuser.virtqueue.PackedRingBase;
import dev.vublk.vhostuser.virtqueue.VirtioFeature;
import dev.vublk.vhostuser.virtqueue.VirtqueueSetup;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What RING_PACKED changes about sizes, addresses and bases; all else is as in {@link VringStateTest}. */
final class PackedVringTest {
    private static final int AVAILABLE = 1 << 7;
    private static final int USED = 1 << 7 | 1 << 15;

    @TempDir
    private Path directory;

    private SessionUnderTest session() throws Exception {
        SessionUnderTest session = new SessionUnderTest(directory).negotiatePacked();
        assertThat(session.frontend.setMemTable(session.memory)).isTrue();
        return session;
    }

    private static VirtqueueSetup startWithBase(SessionUnderTest session, int base) throws Exception {
        session.prepareRing(0);
        assertThat(session.frontend.setVringBase(0, base)).isTrue();
        assertThat(session.frontend.setVringEnable(0, true)).isTrue();
        return session.device.lastSetup();
    }

    @Test
    void shouldTellTheDeviceThatRingsArePacked() throws Exception {
        try (SessionUnderTest session = session().runRing(1)) {
            VirtqueueSetup setup = session.device.lastSetup();
            assertThat(setup.features() & VirtioFeature.VIRTIO_F_RING_PACKED).isNotZero();
            assertThat(setup.startNow()).isFalse();
        }
    }

    // ---- the base

    /** QEMU, Linux UML and DPDK's virtio-user for a new ring. */
    @ParameterizedTest
    @ValueSource(ints = {0x80008000, 0, 0x8000})
    void shouldStartANewRingWithWrapCountersOfOne(int base) throws Exception {
        try (SessionUnderTest session = session()) {
            VirtqueueSetup setup = startWithBase(session, base);
            assertThat(PackedRingBase.decode(setup.base())).isEqualTo(PackedRingBase.INITIAL);
            assertThat(setup.startNow()).isFalse();
        }
    }

    @Test
    void shouldNotDisturbARunningRingWithTheBaseThatItHasAlready() throws Exception {
        try (SessionUnderTest session = session().runRing(0)) {
            session.device.calls.clear();
            assertThat(session.frontend.setVringBase(0, 0)).isTrue();
            assertThat(session.device.calls).isEmpty();
        }
    }

    @ParameterizedTest
    @CsvSource({"0x80058005", "0x00050005", "0x80008007", "0x00008000"})
    void shouldGoOnFromABaseAndAnswerItAgain(String text) throws Exception {
        int base = Integer.parseUnsignedInt(text.substring(2), 16);
        try (SessionUnderTest session = session()) {
            VirtqueueSetup setup = startWithBase(session, base);
            if (base != 0x8000) {
                assertThat(setup.base()).isEqualTo(base);
                assertThat(setup.startNow()).isTrue();
            }
            session.device.basesAtStop.put(0, 0x00078007);
            assertThat(session.frontend.getVringBase(0)).isEqualTo(0x00078007);
            assertThat(session.frontend.setVringKick(0, session.eventFd())).isTrue();
            assertThat(session.device.lastSetup().base()).isEqualTo(0x00078007);
        }
    }

    /** After an odd number of laps with nothing in flight the base is 0, and means it. */
    @Test
    void shouldGoOnFromBaseZeroOfARingThatHasGoneRound() throws Exception {
        try (SessionUnderTest session = session().prepareRing(0)) {
            for (int i = 0; i < SessionUnderTest.RING_SIZE; i++) {
                putFlags(session, i, i % 3 == 0 ? USED : AVAILABLE);
            }
            VirtqueueSetup setup = startWithBase(session, 0);
            assertThat(setup.base()).isZero();
            assertThat(setup.startNow()).isTrue();
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {0x80808080, 0x80018000, 0x80000001})
    void shouldRefuseABaseWhereTheRingCannotBe(int base) throws Exception {
        try (SessionUnderTest session = session().prepareRing(0)) {
            assertThat(session.frontend.setVringBase(0, base)).isTrue();
            assertThat(session.frontend.setVringEnable(0, true)).isFalse();
            session.assertAlive();
            assertThat(session.device.setups).isEmpty();
            assertThat(session.frontend.setVringBase(0, 0x80008000)).isTrue();
            assertThat(session.device.running).containsOnlyKeys(0);
        }
    }

    /** A front end that reconnected kicks only for new requests. */
    @Test
    void shouldLookAtOnceAtARingInWhichSomethingWasUsed() throws Exception {
        try (SessionUnderTest session = session().prepareRing(0)) {
            putFlags(session, 3, USED);
            assertThat(startWithBase(session, 0x80008000).startNow()).isTrue();
        }
    }

    private static void putFlags(SessionUnderTest session, int position, int flags) {
        PackedDriverVirtqueue.rawDescriptorAt(session.desc(0) + 16L * position, 0, 0, 0, flags);
    }

    // ---- which kind

    /** The specification fixes no order: what depends on the features is checked when they have come, too. */
    @Test
    void shouldCheckRingsThatWereSetUpBeforeTheFeatures() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory)) {
            session.frontend.needReply(true);
            long packed = VirtioFeature.VIRTIO_F_VERSION_1 | VirtioFeature.VIRTIO_F_RING_PACKED;
            assertThat(session.frontend.setMemTable(session.memory)).isTrue();
            session.prepareRing(0);
            assertThat(session.frontend.setVringNum(0, 100)).isTrue();
            assertThat(session.frontend.setVringBase(0, 0x80008000)).isTrue();
            assertThat(session.frontend.setFeatures(VirtioFeature.VIRTIO_F_VERSION_1))
                    .isFalse();
            assertThat(session.device.running).isEmpty();
            assertThat(session.frontend.setFeatures(packed)).isTrue();
            assertThat(session.device.running).containsOnlyKeys(0);
        }
    }

    /** A guest's firmware drives split rings, its operating system packed ones. */
    @Test
    void shouldChangeTheKindWithTheFeatures() throws Exception {
        try (SessionUnderTest session =
                new SessionUnderTest(directory).negotiateWithMemory().runRing(0)) {
            session.device.basesAtStop.put(0, 77);
            assertThat(session.frontend.getVringBase(0)).isEqualTo(77);
            HostMemory.fill(session.desc(0), 16L * SessionUnderTest.RING_SIZE, (byte) 0);
            assertThat(session.frontend.setFeatures(session.frontend.getFeatures()))
                    .isTrue();
            session.prepareRing(0);
            VirtqueueSetup setup = session.device.lastSetup();
            assertThat(setup.features() & VirtioFeature.VIRTIO_F_RING_PACKED).isNotZero();
            assertThat(PackedRingBase.decode(setup.base())).isEqualTo(PackedRingBase.INITIAL);
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.vhostuser.protocol.FrontendRequest;
import dev.vublk.vhostuser.protocol.MemoryRegionDescription;
import dev.vublk.vhostuser.protocol.MemoryTable;
import dev.vublk.vhostuser.protocol.ProtocolFeature;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Rings and regions that are named by the guest's addresses (vhost-user, VHOST_USER_PROTOCOL_F_GPA_ADDRESSES). */
final class GuestAddressesTest {
    private static final SessionOptions OFFERED = SessionOptions.DEFAULT.with(OptionalFeature.GPA_ADDRESSES);

    /** What a front end puts where a user address has no meaning. */
    private static final long MEANINGLESS = 0;

    @TempDir
    private Path directory;

    private static MemoryRegionDescription region(SessionUnderTest session) {
        return session.memory.description().withUserAddress(MEANINGLESS);
    }

    private static boolean setMemory(SessionUnderTest session) throws Exception {
        return session.frontend.set(
                FrontendRequest.SET_MEM_TABLE, new MemoryTable(List.of(region(session))).encode(), session.memory.fd());
    }

    private static void runRing(SessionUnderTest session) throws Exception {
        assertThat(session.frontend.setVringNum(0, SessionUnderTest.RING_SIZE)).isTrue();
        assertThat(session.frontend.setVringAddr(
                        0,
                        session.memory.toGuestAddress(session.desc(0)),
                        session.memory.toGuestAddress(session.avail(0)),
                        session.memory.toGuestAddress(session.used(0))))
                .isTrue();
        assertThat(session.frontend.setVringKick(0, session.eventFd())).isTrue();
        assertThat(session.frontend.setVringEnable(0, true)).isTrue();
    }

    private static void assertPlaced(SessionUnderTest session) {
        long memory = session.device.setupOf(0).memory().translate(SessionUnderTest.GUEST_ADDRESS, 1);
        assertThat(session.device.setupOf(0).descHostAddress() - memory)
                .isEqualTo(session.desc(0) - session.memory.hostAddress());
        assertThat(session.device.setupOf(0).usedHostAddress() - memory)
                .isEqualTo(session.used(0) - session.memory.hostAddress());
    }

    @Test
    void shouldFindRingsByTheGuestsAddresses() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory, OFFERED).negotiate()) {
            assertThat(setMemory(session)).isTrue();
            runRing(session);
            assertPlaced(session);
        }
    }

    @Test
    void shouldAddAndRemoveRegionsWithoutUserAddresses() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory, OFFERED).negotiate()) {
            assertThat(session.frontend.set(
                            FrontendRequest.ADD_MEM_REG, region(session).encodePadded(), session.memory.fd()))
                    .isTrue();
            runRing(session);
            assertPlaced(session);
            assertThat(session.frontend.set(
                            FrontendRequest.REM_MEM_REG,
                            region(session).withUserAddress(77).encodePadded()))
                    .isTrue();
            assertThat(session.device.running).isEmpty();
        }
    }

    /** Who was offered the feature and did not take it goes on with user addresses. */
    @Test
    void shouldTakeUserAddressesWhereTheFeatureWasNotTaken() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory, OFFERED)) {
            long offered = session.frontend.getProtocolFeatures();
            assertThat(ProtocolFeature.GPA_ADDRESSES.isIn(offered)).isTrue();
            session.frontend.setProtocolFeatures(offered & ~ProtocolFeature.GPA_ADDRESSES.mask());
            session.frontend.needReply(true);
            assertThat(session.frontend.setFeatures(1L << 32 | 1L << 30)).isTrue();
            assertThat(session.frontend.setMemTable(session.memory)).isTrue();
            session.runRing(0);
            assertPlaced(session);
        }
    }
}

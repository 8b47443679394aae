// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.vhostuser.frontend.FrontendMemory;
import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.linux.SharedMapping;
import dev.vublk.vhostuser.memory.GuestMemory;
import dev.vublk.vhostuser.memory.HostMemory;
import dev.vublk.vhostuser.protocol.FrontendRequest;
import dev.vublk.vhostuser.protocol.MemoryRegionDescription;
import dev.vublk.vhostuser.protocol.MemoryTable;
import dev.vublk.vhostuser.protocol.ProtocolFeature;
import dev.vublk.vhostuser.protocol.Wire;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** SET_MEM_TABLE, ADD_MEM_REG and REM_MEM_REG, with rings running and without. */
final class MemoryMessagesTest {
    private static final long MIB = 1 << 20;

    @TempDir
    private Path directory;

    private SessionUnderTest session() throws Exception {
        return new SessionUnderTest(directory).negotiateWithMemory();
    }

    @Test
    void shouldTakeTheSameTableAgainWithRingsRunning() throws Exception {
        try (SessionUnderTest session = session().runRing(0).runRing(1)) {
            session.device.calls.clear();
            session.device.basesAtStop.put(1, 11);
            assertThat(session.frontend.setMemTable(session.memory)).isTrue();
            assertThat(session.device.calls).containsExactly("stop 0", "stop 1", "start 0", "start 1");
            assertThat(session.device.setupOf(1).base()).isEqualTo(11);
            assertThat(session.device.setupOf(1).startNow()).isTrue();
            assertMapped(session, session.device.setupOf(0).descHostAddress());
        }
    }

    private static void assertMapped(SessionUnderTest session, long hostAddressOfRing0) {
        HostMemory.putInt(session.desc(0), 0x5a5a5a5a);
        assertThat(HostMemory.getInt(hostAddressOfRing0)).isEqualTo(0x5a5a5a5a);
    }

    @Test
    void shouldLetRingsRunOnWhenANewTableIsRefused() throws Exception {
        try (SessionUnderTest session = session().runRing(0)) {
            session.device.calls.clear();
            MemoryRegionDescription tooLong = new MemoryRegionDescription(0, 2 * MIB, 0x10000, 0);
            assertThat(session.frontend.set(
                            FrontendRequest.SET_MEM_TABLE,
                            new MemoryTable(List.of(session.memory.description(), tooLong)).encode(),
                            session.memory.fd(),
                            session.memory.fd()))
                    .isFalse();
            assertThat(session.device.calls).isEmpty();
            assertMapped(session, session.device.setupOf(0).descHostAddress());
        }
    }

    @Test
    void shouldLeaveARingStoppedWhoseMemoryHasGone() throws Exception {
        try (SessionUnderTest session = session().runRing(0);
                FrontendMemory other = FrontendMemory.create(0, MIB)) {
            assertThat(session.frontend.setMemTable(other)).isTrue();
            assertThat(session.device.running).isEmpty();
            assertThat(session.frontend.setMemTable(session.memory, other)).isTrue();
            assertThat(session.device.running).containsOnlyKeys(0);
        }
    }

    @Test
    void shouldTakeAnEmptyTable() throws Exception {
        try (SessionUnderTest session = session().runRing(0)) {
            assertThat(session.frontend.setMemTable()).isTrue();
            assertThat(session.device.running).isEmpty();
            assertThat(session.frontend.setMemTable(session.memory)).isTrue();
            assertThat(session.device.running).containsOnlyKeys(0);
        }
    }

    /** Linux UML's message always has room for two regions. */
    @Test
    void shouldTakeATableThatIsLongerThanItsRegions() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory).negotiate()) {
            ByteBuffer table = Wire.allocate(8 + 2 * 32);
            table.putInt(1).putInt(0);
            session.memory.description().encode(table);
            assertThat(session.frontend.set(FrontendRequest.SET_MEM_TABLE, table.clear(), session.memory.fd()))
                    .isTrue();
            session.runRing(0);
        }
    }

    @Test
    void shouldRefuseATableWhoseDescriptorsDoNotMatchItsRegions() throws Exception {
        try (SessionUnderTest session = session()) {
            ByteBuffer table = new MemoryTable(List.of(session.memory.description())).encode();
            assertThat(session.frontend.set(FrontendRequest.SET_MEM_TABLE, table.duplicate()))
                    .isFalse();
            int fd = session.memory.fd();
            assertThat(session.frontend.set(FrontendRequest.SET_MEM_TABLE, table.duplicate(), fd, fd))
                    .isFalse();
            session.assertAlive();
        }
    }

    @Test
    void shouldRefuseATableOfMoreRegionsThanItHasRoomFor() throws Exception {
        try (SessionUnderTest session = session()) {
            for (int count : new int[] {2, 510, -1, Integer.MAX_VALUE, Integer.MIN_VALUE, 0x08000001}) {
                ByteBuffer table = Wire.allocate(8 + 32).putInt(count).putInt(0);
                session.memory.description().encode(table);
                assertThat(session.frontend.set(FrontendRequest.SET_MEM_TABLE, table.clear(), session.memory.fd()))
                        .isFalse();
            }
            session.assertAlive();
        }
    }

    @Test
    void shouldAddARegionWithoutStoppingRings() throws Exception {
        try (SessionUnderTest session = session().runRing(0);
                FrontendMemory hotPlugged = FrontendMemory.create(0x1_0000_0000L, MIB)) {
            session.device.calls.clear();
            assertThat(session.frontend.addMemReg(hotPlugged)).isTrue();
            assertThat(session.device.calls).containsExactly("memory 2");
            assertMapped(session, session.device.setupOf(0).descHostAddress());
        }
    }

    /** QEMU describes all memory this way. */
    @Test
    void shouldStartRingsInMemoryThatWasAddedRegionByRegion() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory).negotiate();
                FrontendMemory low = FrontendMemory.create(0, MIB)) {
            assertThat(session.frontend.addMemReg(low)).isTrue();
            assertThat(session.frontend.addMemReg(session.memory)).isTrue();
            session.runRing(0);
            GuestMemory memory = session.device.lastSetup().memory();
            assertThat(memory.regionCount()).isEqualTo(2);
            HostMemory.putInt(low.hostAddress() + 100, 0x77);
            assertThat(HostMemory.getInt(memory.translate(100, 4))).isEqualTo(0x77);
            assertThat(memory.translate(MIB - 2, 4)).isEqualTo(GuestMemory.UNMAPPED);
        }
    }

    @Test
    void shouldStartAWaitingRingWhenItsRegionComes() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory).negotiate()) {
            session.prepareRing(0);
            assertThat(session.frontend.setVringEnable(0, true)).isTrue();
            assertThat(session.device.running).isEmpty();
            assertThat(session.frontend.addMemReg(session.memory)).isTrue();
            assertThat(session.device.running).containsOnlyKeys(0);
        }
    }

    @Test
    void shouldRefuseARegionThatOverlaps() throws Exception {
        try (SessionUnderTest session = session().runRing(0);
                FrontendMemory other = FrontendMemory.create(SessionUnderTest.GUEST_ADDRESS + MIB - 1, MIB)) {
            session.device.calls.clear();
            assertThat(session.frontend.addMemReg(session.memory)).isFalse();
            assertThat(session.frontend.addMemReg(other)).isFalse();
            assertThat(session.device.calls).isEmpty();
        }
    }

    @Test
    void shouldStopRingsWhileARegionIsRemoved() throws Exception {
        try (SessionUnderTest session = session().runRing(0);
                FrontendMemory other = FrontendMemory.create(0, MIB)) {
            assertThat(session.frontend.addMemReg(other)).isTrue();
            session.device.calls.clear();
            assertThat(session.frontend.remMemReg(other)).isTrue();
            assertThat(session.device.calls).containsExactly("stop 0", "start 0");
            assertThat(session.device.lastSetup().memory().regionCount()).isEqualTo(1);
            assertThat(session.frontend.addMemReg(other)).isTrue();
        }
    }

    /** Old QEMU sends the region's descriptor along. */
    @Test
    void shouldTakeADescriptorWithRemMemRegAndCloseIt() throws Exception {
        try (SessionUnderTest session = session();
                FrontendMemory other = FrontendMemory.create(0, MIB)) {
            assertThat(session.frontend.addMemReg(other)).isTrue();
            assertThat(session.frontend.set(
                            FrontendRequest.REM_MEM_REG, other.description().encodePadded(), other.fd()))
                    .isTrue();
        }
    }

    @Test
    void shouldFindTheRegionToRemoveByAddressesAndSizeAlone() throws Exception {
        try (SessionUnderTest session = session()) {
            MemoryRegionDescription known = session.memory.description();
            MemoryRegionDescription otherSize = new MemoryRegionDescription(
                    known.guestAddress(), known.sizeBytes() - 1, known.userAddress(), known.mmapOffsetBytes());
            assertThat(session.frontend.set(FrontendRequest.REM_MEM_REG, otherSize.encodePadded()))
                    .isFalse();
            MemoryRegionDescription otherOffset =
                    new MemoryRegionDescription(known.guestAddress(), known.sizeBytes(), known.userAddress(), 0x123456);
            assertThat(session.frontend.set(FrontendRequest.REM_MEM_REG, otherOffset.encodePadded()))
                    .isTrue();
            assertThat(session.frontend.set(FrontendRequest.REM_MEM_REG, otherOffset.encodePadded()))
                    .isFalse();
        }
    }

    @Test
    void shouldNotTouchMemorySlotsBeforeTheyWereNegotiated() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory)) {
            session.frontend.setProtocolFeatures(ProtocolFeature.REPLY_ACK.mask());
            session.frontend.needReply(true);
            assertThat(session.frontend.addMemReg(session.memory)).isFalse();
            assertThat(session.frontend.remMemReg(session.memory)).isFalse();
            assertThat(session.frontend.getMaxMemSlots()).isEqualTo(1);
            session.assertAlive();
        }
    }

    @Test
    void shouldTakeExactly509Regions() throws Exception {
        try (SessionUnderTest session = new SessionUnderTest(directory).negotiate()) {
            int fd = SharedMapping.createMemoryFile("vublk-guest", 510 * 4096);
            session.frontend.needReply(true);
            for (int i = 0; i < 509; i++) {
                assertThat(session.frontend.set(FrontendRequest.ADD_MEM_REG, slot(i), fd))
                        .isTrue();
            }
            assertThat(session.frontend.set(FrontendRequest.ADD_MEM_REG, slot(509), fd))
                    .isFalse();
            session.assertAlive();
            FileDescriptor.close(fd);
        }
    }

    private static ByteBuffer slot(int i) {
        return new MemoryRegionDescription(i * 4096L, 4096, 0x10_0000_0000L + i * 4096L, i * 4096L).encodePadded();
    }

    /** The guest has cut its memory file off after the table was taken: the ring's used index cannot be read. */
    @Test
    void shouldEndOnlyTheSessionWhenTheGuestTruncatesItsMemory() throws Exception {
        try (SessionUnderTest session = session().prepareRing(0)) {
            session.frontend.needReply(false);
            SharedMapping.resize(session.memory.fd(), 0);
            session.frontend.setVringEnable(0, true);
            session.assertEndedAndServing();
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.vhostuser.memory.HostMemory;
import dev.vublk.vhostuser.virtqueue.VirtqueueSetup;
import java.nio.file.Path;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** Which sizes and places of either kind of ring are taken (virtio 1.2, sections 2.7 and 2.8.10), and that these are used. */
final class VringShapeTest {
    @TempDir
    private Path directory;

    /** A kind of ring: what its driver area is aligned to, and how long its areas are for a ring of so many descriptors. */
    enum Kind {
        SPLIT(2),
        PACKED(4);

        private final int availAlignment;

        Kind(int availAlignment) {
            this.availAlignment = availAlignment;
        }

        private long availBytes(int size) {
            return this == SPLIT ? 6 + 2L * size : 4;
        }

        private long usedBytes(int size) {
            return this == SPLIT ? 6 + 8L * size : 4;
        }
    }

    private SessionUnderTest session(Kind kind) throws Exception {
        SessionUnderTest session = new SessionUnderTest(directory);
        if (kind == Kind.PACKED) {
            session.negotiatePacked();
        } else {
            session.negotiate();
        }
        assertThat(session.frontend.setMemTable(session.memory)).isTrue();
        return session;
    }

    @ParameterizedTest
    @CsvSource({
        "SPLIT, 1",
        "SPLIT, 2",
        "SPLIT, 1024",
        "PACKED, 1",
        "PACKED, 3",
        "PACKED, 100",
        "PACKED, 1023",
        "PACKED, 1024"
    })
    void shouldTakeEverySizeUpToTheDevicesMaximum(Kind kind, int size) throws Exception {
        try (SessionUnderTest session = session(kind).prepareRing(0)) {
            assertThat(session.frontend.setVringNum(0, size)).isTrue();
            assertThat(session.frontend.setVringEnable(0, true)).isTrue();
            assertThat(session.device.lastSetup().size()).isEqualTo(size);
        }
    }

    @ParameterizedTest
    @CsvSource({
        "SPLIT, 0",
        "SPLIT, 3",
        "SPLIT, 100",
        "SPLIT, 2048",
        "SPLIT, 65536",
        "SPLIT, -1",
        "SPLIT, -2147483648",
        "PACKED, 0",
        "PACKED, 1025",
        "PACKED, 2048",
        "PACKED, 65536",
        "PACKED, -1",
        "PACKED, -2147483648"
    })
    void shouldRefuseAnImpossibleSize(Kind kind, int size) throws Exception {
        try (SessionUnderTest session = session(kind)) {
            assertThat(session.frontend.setVringNum(0, size)).isFalse();
            session.assertAlive();
        }
    }

    @ParameterizedTest
    @EnumSource(Kind.class)
    void shouldRefuseMisalignedAddresses(Kind kind) throws Exception {
        try (SessionUnderTest session = session(kind)) {
            long desc = session.desc(0);
            long avail = session.avail(0);
            long used = session.used(0);
            int alignment = kind.availAlignment;
            assertThat(session.frontend.setVringAddr(0, desc + 8, avail, used)).isFalse();
            assertThat(session.frontend.setVringAddr(0, desc, avail + alignment / 2, used))
                    .isFalse();
            assertThat(session.frontend.setVringAddr(0, desc, avail, used + 2)).isFalse();
            assertThat(session.frontend.setVringAddr(0, desc + 16, avail + alignment, used + 4))
                    .isTrue();
        }
    }

    @ParameterizedTest
    @EnumSource(Kind.class)
    void shouldRefuseARingOutsideTheGuestsMemory(Kind kind) throws Exception {
        try (SessionUnderTest session = session(kind).prepareRing(0)) {
            int size = SessionUnderTest.RING_SIZE;
            long end = session.memory.hostAddress() + SessionUnderTest.MEMORY_BYTES;
            long desc = end - 16L * size;
            long avail = end - kind.availBytes(size) & -kind.availAlignment;
            long used = end - kind.usedBytes(size) & -4;
            assertThat(session.frontend.setVringAddr(0, desc, session.avail(0), session.used(0)))
                    .isTrue();
            assertThat(session.frontend.setVringEnable(0, true)).isTrue();
            // One alignment step further, each part alone reaches beyond the end.
            assertThat(session.frontend.setVringAddr(0, desc + 16, session.avail(0), session.used(0)))
                    .isFalse();
            assertThat(session.device.running).isEmpty();
            assertThat(session.frontend.setVringAddr(0, session.desc(0), avail + kind.availAlignment, session.used(0)))
                    .isFalse();
            assertThat(session.frontend.setVringAddr(0, session.desc(0), session.avail(0), used + 4))
                    .isFalse();
            assertThat(session.frontend.setVringAddr(0, session.desc(0), avail, used))
                    .isTrue();
            assertThat(session.device.running).containsOnlyKeys(0);
        }
    }

    @ParameterizedTest
    @EnumSource(Kind.class)
    void shouldReadEachPartWhereTheFrontEndSaysItIs(Kind kind) throws Exception {
        try (SessionUnderTest session = session(kind).runRing(1)) {
            VirtqueueSetup setup = session.device.lastSetup();
            HostMemory.putInt(session.desc(1), 0x11111111);
            HostMemory.putInt(session.avail(1), 0x22222222);
            HostMemory.putInt(session.used(1), 0x33333333);
            assertThat(HostMemory.getInt(setup.descHostAddress())).isEqualTo(0x11111111);
            assertThat(HostMemory.getInt(setup.availHostAddress())).isEqualTo(0x22222222);
            assertThat(HostMemory.getInt(setup.usedHostAddress())).isEqualTo(0x33333333);
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.memory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.vublk.vhostuser.ProcessResources;
import dev.vublk.vhostuser.linux.EventFd;
import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.linux.SharedMapping;
import dev.vublk.vhostuser.protocol.MemoryRegionDescription;
import dev.vublk.vhostuser.protocol.MemoryTable;
import dev.vublk.vhostuser.protocol.VhostUserProtocolException;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Which regions are taken, where they are mapped, and that snapshots translate as a plain search would. */
final class MappedMemoryTest {
    private static final long FILE_BYTES = 64 * 4096;

    private final long mappingsBefore = ProcessResources.now().guestMappings();
    private int fd;

    @BeforeEach
    void createFile() {
        fd = SharedMapping.createMemoryFile("vublk-guest", FILE_BYTES);
    }

    @AfterEach
    void closeFile() {
        FileDescriptor.close(fd);
        assertThat(ProcessResources.now().guestMappings()).isEqualTo(mappingsBefore);
    }

    private void expectRefusal(MemoryRegionDescription region, int ofFd, String reason) {
        try (MappedMemory memory = new MappedMemory()) {
            assertThatThrownBy(() -> memory.add(region, ofFd))
                    .isInstanceOf(VhostUserProtocolException.class)
                    .hasMessageContaining(reason);
            assertThat(memory.snapshot().regionCount()).isZero();
        }
    }

    private static MemoryRegionDescription region(long guest, long size, long user, long offset) {
        return new MemoryRegionDescription(guest, size, user, offset);
    }

    /** Linux UML: one region at a large offset that no huge page and, in principle, no page need divide. */
    @Test
    void shouldMapARegionAtAnOffsetThatIsNotAligned() throws Exception {
        long whole = SharedMapping.map(fd, 0, FILE_BYTES);
        HostMemory.putInt(whole + 5000, 0xabcdef);
        try (MappedMemory memory = new MappedMemory()) {
            memory.add(region(0x1000, 4096 + 1, 0x7000, 5000), fd);
            long host = memory.snapshot().translate(0x1000, 4);
            assertThat(HostMemory.getInt(host)).isEqualTo(0xabcdef);
            assertThat(memory.snapshot().translateUser(0x7000 + 4096, 1)).isEqualTo(host + 4096);
            assertThat(memory.snapshot().translate(0x1000 + 4096, 2)).isEqualTo(GuestMemory.UNMAPPED);
        }
        SharedMapping.unmap(whole, FILE_BYTES);
    }

    /** A sparse file costs nothing, but addresses of this process do. */
    @Test
    void shouldNotGiveAllItsAddressesAway() throws Exception {
        long half = FileMapping.MAPPED_BYTES_MAX / 2 + 4096;
        int sparse = SharedMapping.createMemoryFile("vublk-guest", half);
        assertThat(sparse).isPositive();
        for (int i = 0; i < 2; i++) { // What was unmapped can be mapped again.
            try (MappedMemory memory = new MappedMemory()) {
                memory.add(region(0, half, 0, 0), sparse);
                assertThatThrownBy(() -> memory.add(region(half, half, half, 0), sparse))
                        .isInstanceOf(VhostUserProtocolException.class)
                        .hasMessageContaining("too large to be mapped");
                memory.add(region(half, 4096, half, 0), fd);
            }
        }
        FileDescriptor.close(sparse);
    }

    @Test
    void shouldMapARegionUpToTheLastByteOfItsFile() throws Exception {
        try (MappedMemory memory = new MappedMemory()) {
            memory.add(region(0, FILE_BYTES - 1, 0, 1), fd);
        }
        expectRefusal(region(0, FILE_BYTES, 0, 1), fd, "beyond its file");
        expectRefusal(region(0, FILE_BYTES + 1, 0, 0), fd, "beyond its file");
        expectRefusal(region(0, 4096, 0, 1L << 40), fd, "beyond its file");
    }

    @Test
    void shouldRefuseAnImpossibleSize() {
        expectRefusal(region(0, 0, 0, 0), fd, "size");
        expectRefusal(region(0, -1, 0, 0), fd, "size");
        expectRefusal(region(0, Long.MIN_VALUE, 0, 0), fd, "size");
        expectRefusal(region(0, Long.MAX_VALUE, 0, 0), fd, "beyond the end");
    }

    @Test
    void shouldRefuseARegionThatWraps() throws Exception {
        expectRefusal(region(-4096, 4097, 0, 0), fd, "wraps");
        expectRefusal(region(0, 4097, -4096, 0), fd, "wraps");
        expectRefusal(region(0, 4096, 0, -4096), fd, "beyond the end");
        expectRefusal(region(0, 4096, 0, Long.MAX_VALUE - 4095), fd, "beyond the end");
        expectRefusal(region(0, 4096, 0, Long.MAX_VALUE / 2), fd, "beyond the end");
        try (MappedMemory memory = new MappedMemory()) {
            memory.add(region(-4096, 4096, -4096, 0), fd);
            assertThat(memory.snapshot().translate(-1, 1)).isNotEqualTo(GuestMemory.UNMAPPED);
            assertThat(memory.snapshot().translate(-1, 2)).isEqualTo(GuestMemory.UNMAPPED);
            assertThat(memory.snapshot().translate(0, 1)).isEqualTo(GuestMemory.UNMAPPED);
        }
    }

    @Test
    void shouldRefuseWhatIsNoMemory() {
        expectRefusal(region(0, 4096, 0, 0), -1, "no file");
        int eventFd = EventFd.create();
        expectRefusal(region(0, 4096, 0, 0), eventFd, "cannot be mapped");
        FileDescriptor.close(eventFd);
    }

    @Test
    void shouldRefuseRegionsThatOverlapForGuestOrFrontEnd() throws Exception {
        try (MappedMemory memory = new MappedMemory()) {
            memory.add(region(0x10000, 0x2000, 0x50000, 0), fd);
            long[][] overlapping = {
                {0x11fff, 0x90000}, {0xf001, 0x90000}, {0x10000, 0x90000}, {0x90000, 0x51fff}, {0x90000, 0x4f001}
            };
            for (long[] addresses : overlapping) {
                assertThatThrownBy(() -> memory.add(region(addresses[0], 0x1000, addresses[1], 0), fd))
                        .isInstanceOf(VhostUserProtocolException.class)
                        .hasMessageContaining("overlaps");
            }
            // One that holds the other whole, and two that only touch.
            assertThatThrownBy(() -> memory.add(region(0, 0x20000, 0x90000, 0), fd))
                    .hasMessageContaining("overlaps");
            memory.add(region(0x12000, 0x1000, 0x52000, 0), fd);
            memory.add(region(0xf000, 0x1000, 0x4f000, 0), fd);
            assertThat(memory.snapshot().regionCount()).isEqualTo(3);
        }
    }

    @Test
    void shouldMapAllOfATableOrNothing() {
        MemoryTable table =
                new MemoryTable(List.of(region(0, 4096, 0, 0), region(4096, 4096, 4096, 0), region(0, 1, 9999, 0)));
        assertThatThrownBy(() -> MappedMemory.map(table, i -> fd)).hasMessageContaining("overlaps");
        assertThat(ProcessResources.now().guestMappings()).isEqualTo(mappingsBefore);
    }

    @Test
    void shouldKeepSnapshotsAsTheyWere() throws Exception {
        try (MappedMemory memory = new MappedMemory()) {
            memory.add(region(0, 4096, 0, 0), fd);
            GuestMemory before = memory.snapshot();
            memory.add(region(4096, 8192, 4096, 0), fd);
            assertThat(before.regionCount()).isEqualTo(1);
            assertThat(before.translate(4096, 1)).isEqualTo(GuestMemory.UNMAPPED);
            assertThat(memory.snapshot().translate(4096, 1)).isNotEqualTo(GuestMemory.UNMAPPED);
            assertThat(memory.snapshot().translate(0, 1)).isEqualTo(before.translate(0, 1));
            memory.remove(region(4096, 8192, 4096, 77));
            assertThat(memory.snapshot().translate(4096, 1)).isEqualTo(GuestMemory.UNMAPPED);
        }
    }

    /** One to forty regions: those that are scanned and those that are searched. */
    @Test
    void shouldTranslateAsAPlainSearchWould() throws Exception {
        long seed = Long.getLong("vublk.seed", System.nanoTime());
        System.out.println("MappedMemoryTest: -Dvublk.seed=" + seed);
        Random random = new Random(seed);
        for (int count = 1; count <= 40; count++) {
            try (MappedMemory memory = new MappedMemory()) {
                MemoryRegionDescription[] regions = new MemoryRegionDescription[count];
                // Also across the sign bit, where signed comparison would go wrong.
                long guest = Long.MAX_VALUE - count * 2048L;
                for (int i : permutation(count, random)) {
                    long size = 4096L * (1 + random.nextInt(4));
                    regions[i] = region(guest + i * 20_000L, size, i * 100_000L, 0);
                    memory.add(regions[i], fd);
                }
                GuestMemory snapshot = memory.snapshot();
                for (int probe = 0; probe < 500; probe++) {
                    long address = guest - 5000 + random.nextInt(count * 20_000 + 10_000);
                    long length = random.nextInt(20_000);
                    checkTranslation(seed, snapshot, regions, address, length);
                }
            }
        }
    }

    private static int[] permutation(int count, Random random) {
        int[] order = new int[count];
        for (int i = 0; i < count; i++) {
            int j = random.nextInt(i + 1);
            order[i] = order[j];
            order[j] = i;
        }
        return order;
    }

    private static void checkTranslation(
            long seed, GuestMemory snapshot, MemoryRegionDescription[] regions, long address, long length) {
        long expectedContiguous = 0;
        long expectedHost = GuestMemory.UNMAPPED;
        for (MemoryRegionDescription region : regions) {
            long offset = address - region.guestAddress();
            if (offset >= 0 && offset < region.sizeBytes()) {
                expectedContiguous = region.sizeBytes() - offset;
                if (length <= expectedContiguous) {
                    expectedHost = snapshot.translateUser(region.userAddress(), 1) + offset;
                }
            }
        }
        assertThat(snapshot.contiguousBytes(address)).as("seed %d", seed).isEqualTo(expectedContiguous);
        assertThat(snapshot.translate(address, length)).as("seed %d", seed).isEqualTo(expectedHost);
    }
}

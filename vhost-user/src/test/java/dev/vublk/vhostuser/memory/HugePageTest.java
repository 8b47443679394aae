// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.memory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.linux.FileStatus;
import dev.vublk.vhostuser.linux.SharedMapping;
import dev.vublk.vhostuser.protocol.MemoryRegionDescription;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Guest memory of huge pages: mmap and munmap take whole huge pages only, whatever the region says. */
class HugePageTest {
    private static final Path POOL = Path.of("/proc/sys/vm/nr_hugepages");
    private static final int PAGES = 4;

    private int pagesBefore;
    private int fd = -1;
    private long pageBytes;

    @BeforeEach
    void reserveHugePages() throws IOException {
        assumeTrue(Files.isWritable(POOL), "needs root to reserve huge pages");
        pagesBefore = Integer.parseInt(Files.readString(POOL).strip());
        Files.writeString(POOL, String.valueOf(pagesBefore + PAGES));
        int reserved = Integer.parseInt(Files.readString(POOL).strip());
        assumeTrue(reserved >= pagesBefore + PAGES, "the kernel found no memory for " + PAGES + " huge pages");
        int probe = SharedMapping.createHugePageFile("huge-probe", 0);
        pageBytes = Objects.requireNonNull(FileStatus.ofDescriptor(probe)).blockSizeBytes();
        FileDescriptor.close(probe);
        fd = SharedMapping.createHugePageFile("vublk-guest", PAGES * pageBytes);
        assertThat(fd).isPositive();
    }

    @AfterEach
    void giveHugePagesBack() throws IOException {
        if (fd >= 0) {
            FileDescriptor.close(fd);
        }
        if (Files.isWritable(POOL)) {
            Files.writeString(POOL, String.valueOf(pagesBefore));
        }
    }

    @Test
    void shouldMapARegionOfWholeHugePages() throws Exception {
        try (MappedMemory memory = new MappedMemory()) {
            memory.add(new MemoryRegionDescription(0, PAGES * pageBytes, 0x7000_0000_0000L, 0), fd);
            long host = memory.snapshot().translate(0, PAGES * pageBytes);
            HostMemory.putLong(host + PAGES * pageBytes - 8, 42);
            assertThat(HostMemory.getLong(host + PAGES * pageBytes - 8)).isEqualTo(42);
        }
    }

    @Test
    void shouldMapARegionThatBeginsAndEndsInsideAHugePage() throws Exception {
        long whole = SharedMapping.map(fd, 0, PAGES * pageBytes);
        long offset = pageBytes + 4096;
        HostMemory.putLong(whole + offset, 4711);
        try (MappedMemory memory = new MappedMemory()) {
            memory.add(new MemoryRegionDescription(0x10000, pageBytes, 0x7000_0000_0000L, offset), fd);
            long host = memory.snapshot().translate(0x10000, pageBytes);
            assertThat(HostMemory.getLong(host)).isEqualTo(4711);
            HostMemory.putLong(host + pageBytes - 8, 815);
            assertThat(HostMemory.getLong(whole + offset + pageBytes - 8)).isEqualTo(815);
        }
        assertThat(SharedMapping.unmap(whole, PAGES * pageBytes)).isZero();
    }
}

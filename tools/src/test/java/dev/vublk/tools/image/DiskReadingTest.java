// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.Iovec;
import dev.vublk.blockdev.linux.NativeMemory;
import java.io.IOException;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Reads of a disk of which some sectors are broken. */
class DiskReadingTest {
    private static final int LENGTH_BYTES = 1 << 20;

    private final long buffer = NativeMemory.allocateZeroed(LENGTH_BYTES);

    @AfterEach
    void free() {
        NativeMemory.free(buffer);
    }

    @Test
    void shouldFailAtABrokenSector() {
        try (DiskReading reading = new DiskReading(new BrokenDisk(Set.of(100L)), "disk", new BrokenSectors(false))) {
            assertThatThrownBy(() -> reading.read(0, buffer, LENGTH_BYTES))
                    .isInstanceOf(IOException.class)
                    .hasMessage("disk: cannot be read at offset 0: Input/output error");
        }
    }

    @Test
    void shouldLoseNothingButTheBrokenSectors() throws Exception {
        Set<Long> sectors = Set.of(4096L + 0, 4096L + 1, 4096L + 17, 6143L);
        BrokenSectors broken = new BrokenSectors(true);
        long offset = 2 << 20;
        try (DiskReading reading = new DiskReading(new BrokenDisk(sectors), "disk", broken)) {
            reading.read(offset, buffer, LENGTH_BYTES);
        }
        for (long at = 0; at < LENGTH_BYTES; at += 512) {
            long sector = (offset + at) / 512;
            byte expected = sectors.contains(sector) ? 0 : BrokenDisk.content(sector);
            assertThat(NativeMemory.getByte(buffer + at)).as("sector " + sector).isEqualTo(expected);
            assertThat(NativeMemory.getByte(buffer + at + 511))
                    .as("sector " + sector)
                    .isEqualTo(expected);
        }
        assertThat(broken.countBytes()).isEqualTo(4 * 512);
        assertThat(broken.firstOffsetBytes()).isEqualTo(4096 * 512);
    }

    /** Each sector holds its number's lowest bits, and 1. */
    private record BrokenDisk(Set<Long> broken) implements BlockChannel {
        private static byte content(long sector) {
            return (byte) (sector | 1);
        }

        @Override
        public int readv(long offsetBytes, long iovAddress, int iovCount, long lengthBytes) {
            long address = Iovec.base(iovAddress);
            for (long at = 0; at < lengthBytes; at += 512) {
                long sector = (offsetBytes + at) / 512;
                if (broken.contains(sector)) {
                    return -Errno.EIO;
                }
                for (int i = 0; i < 512; i++) {
                    NativeMemory.putByte(address + at + i, content(sector));
                }
            }
            return 0;
        }

        @Override
        public int writev(long offsetBytes, long iovAddress, int iovCount, long lengthBytes, boolean fua) {
            return -Errno.EROFS;
        }

        @Override
        public int flush() {
            return 0;
        }

        @Override
        public int discard(long offsetBytes, long lengthBytes) {
            return -Errno.EROFS;
        }

        @Override
        public int writeZeroes(long offsetBytes, long lengthBytes, boolean mayUnmap, boolean fua) {
            return -Errno.EROFS;
        }

        @Override
        public void close() {}
    }
}

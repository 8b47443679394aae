// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.zoned;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.linux.Iovec;
import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.blockdev.linux.PosixFile;
import dev.vublk.blockdev.testing.PlainLoop;
import dev.vublk.blockdev.testing.TestDisk;
import dev.vublk.blockdev.testing.TestImages;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

/** A comparison with memory of a guest, which may take it away. */
final class StoredDataTest {
    private static final int GUEST_BYTES = 8192;

    /** Calls until the comparison is compiled, and done by a routine of the virtual machine's own. */
    private static final int COMPILED = 30_000;

    @Test
    void shouldOutliveMemoryThatIsGone() throws Exception {
        Path directory = TestImages.directories().getLast();
        Path image = TestImages.file(directory, 1 << 20);
        Path guest = TestImages.file(directory, GUEST_BYTES);
        int fd = PosixFile.open(guest.toString(), PosixFile.O_RDWR);
        long memory = PosixFile.map(fd, GUEST_BYTES, true);
        long iov = NativeMemory.allocateZeroed(2 * Iovec.SIZE_BYTES);
        Iovec.set(iov, memory, 512);
        Iovec.set(iov + Iovec.SIZE_BYTES, memory + 4096, 1024);
        try (TestDisk disk = new TestDisk(TestDisk.options(image), PlainLoop.withRing())) {
            disk.write(0, new byte[4096], false);
            for (int i = 0; i < COMPILED; i++) {
                assertThat(StoredData.equals(disk.channel, 512, iov, 1536)).isTrue();
            }
            NativeMemory.putByte(memory + 4096 + 1023, (byte) 1);
            assertThat(StoredData.equals(disk.channel, 512, iov, 1536)).isFalse();
            PosixFile.ftruncate(fd, 4096);
            for (int i = 0; i < 100; i++) {
                assertThat(StoredData.equals(disk.channel, 512, iov, 1536)).isFalse();
            }
        } finally {
            PosixFile.unmap(memory, GUEST_BYTES);
            PosixFile.close(fd);
            NativeMemory.free(iov);
            Files.delete(guest);
            Files.delete(image);
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.testing.LoopDevice;
import dev.vublk.blockdev.testing.MountedDirectory;
import dev.vublk.blockdev.testing.PlainLoop;
import dev.vublk.blockdev.testing.Shell;
import dev.vublk.blockdev.testing.TestDisk;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Images that are larger than what they lie on, served by the driver: only as root. */
final class Qcow2NoSpaceTest {
    private static final int BLOCK_BYTES = 65536;
    private static final int BLOCKS = 128;

    @TempDir
    private Path directory;

    @BeforeEach
    void needQemu() {
        Shell.assumeProgram("qemu-img");
    }

    private static byte[] block(int value) {
        byte[] data = new byte[BLOCK_BYTES];
        Arrays.fill(data, (byte) value);
        return data;
    }

    private static void create(Path image) throws Exception {
        Shell.check("qemu-img", "create", "-q", "-f", "qcow2", image.toString(), BLOCKS * BLOCK_BYTES + "");
    }

    /** Writes blocks until that fails; how many there are. */
    private static int fillUp(TestDisk disk) {
        int block = 0;
        int result = 0;
        while (block < BLOCKS && result == 0) {
            result = disk.write((long) block * BLOCK_BYTES, block(block + 1), false);
            block += result == 0 ? 1 : 0;
        }
        assertThat(result).isEqualTo(-Errno.ENOSPC);
        assertThat(block).isGreaterThan(8);
        return block;
    }

    /** Discards some blocks and, without a flush, writes others. */
    private static void exchange(TestDisk disk, int full) {
        assertThat(disk.discard(2 * BLOCK_BYTES, 4 * BLOCK_BYTES)).isZero();
        for (int i = 0; i < 4; i++) {
            assertThat(disk.write((long) (BLOCKS - 1 - i) * BLOCK_BYTES, block(BLOCKS - i), i == 2))
                    .as("block %d", i)
                    .isZero();
        }
        assertThat(disk.write((long) full * BLOCK_BYTES, block(1), false)).isEqualTo(-Errno.ENOSPC);
        assertThat(disk.flush()).isZero();
        checkContent(disk, full);
    }

    private static void checkContent(TestDisk disk, int full) {
        for (int i = 0; i < full; i++) {
            assertThat(disk.read((long) i * BLOCK_BYTES, BLOCK_BYTES)).isEqualTo(block(i < 2 || i >= 6 ? i + 1 : 0));
        }
        for (int i = BLOCKS - 4; i < BLOCKS; i++) {
            assertThat(disk.read((long) i * BLOCK_BYTES, BLOCK_BYTES)).isEqualTo(block(i + 1));
        }
    }

    private static void assertClean(Path image) throws Exception {
        assertThat(Shell.check("qemu-img", "check", "-f", "qcow2", image.toString()))
                .contains("No errors were found");
    }

    @Test
    void shouldGoOnWhenTheFileSystemHasRoomAgain() throws Exception {
        try (MountedDirectory mount = MountedDirectory.tmpfs(directory, "2m")) {
            Path image = mount.path().resolve("image.qcow2");
            create(image);
            int full;
            try (TestDisk disk = new TestDisk(TestDisk.options(image), PlainLoop.withRing())) {
                full = fillUp(disk);
                exchange(disk, full);
                Shell.check("mount", "-o", "remount,size=16m", mount.path().toString());
                assertThat(disk.write((long) full * BLOCK_BYTES, block(full + 1), true))
                        .isZero();
                checkContent(disk, full + 1);
            }
            assertClean(image);
            try (TestDisk disk = new TestDisk(TestDisk.options(image), PlainLoop.withRing())) {
                checkContent(disk, full + 1);
            }
        }
    }

    @Test
    void shouldUseAllOfADevice() throws Exception {
        try (LoopDevice loop = LoopDevice.create(directory, 4 << 20, 512)) {
            create(loop.device());
            int full;
            try (TestDisk disk = new TestDisk(TestDisk.options(loop.device()), PlainLoop.withRing())) {
                full = fillUp(disk);
                exchange(disk, full);
            }
            assertClean(loop.device());
            try (TestDisk disk = new TestDisk(TestDisk.options(loop.device()), PlainLoop.withRing())) {
                checkContent(disk, full);
            }
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.vublk.blockdev.BlockOptions.CacheMode;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.testing.LoopDevice;
import dev.vublk.blockdev.testing.PlainLoop;
import dev.vublk.blockdev.testing.Shell;
import dev.vublk.blockdev.testing.TestDisk;
import dev.vublk.blockdev.testing.TestImages;
import dev.vublk.blockdev.testing.TestVector;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Images that grow, and images that shrink, while they are served. */
final class ResizeTest {
    private static final int DISK_BYTES = 1 << 20;
    private static final int HALF_BYTES = DISK_BYTES / 2;

    @TempDir
    private Path directory;

    private Path image;

    @BeforeEach
    void createImage() throws IOException {
        image = TestImages.file(directory, DISK_BYTES);
    }

    private static byte[] pattern(int length) {
        byte[] bytes = new byte[length];
        Arrays.fill(bytes, (byte) 0x5a);
        return bytes;
    }

    @ParameterizedTest
    @EnumSource(
            value = CacheMode.class,
            names = {"NONE", "WRITEBACK"})
    void shouldServeTheNewEndOfAFileThatHasGrown(CacheMode mode) throws Exception {
        try (TestDisk disk = new TestDisk(TestDisk.options(image, mode), PlainLoop.withRing())) {
            assertThat(disk.driver.refreshSize()).isFalse();
            TestImages.setSize(image, 2 * DISK_BYTES);

            assertThat(disk.driver.limits().sizeBytes()).isEqualTo(DISK_BYTES);
            assertThat(disk.driver.refreshSize()).isTrue();
            assertThat(disk.driver.limits().sizeBytes()).isEqualTo(2 * DISK_BYTES);
            assertThat(disk.driver.refreshSize()).isFalse();

            assertThat(disk.write(2 * DISK_BYTES - 4096, pattern(4096), true)).isZero();
            assertThat(disk.read(2 * DISK_BYTES - 4096, 4096)).isEqualTo(pattern(4096));
            assertThat(disk.writeZeroes(2 * DISK_BYTES - 4096, 4096, true, false))
                    .isZero();
            assertThat(disk.discard(DISK_BYTES, DISK_BYTES)).isZero();
            assertThat(disk.read(2 * DISK_BYTES - 4096, 4096)).isEqualTo(new byte[4096]);
        }
    }

    @ParameterizedTest
    @EnumSource(
            value = CacheMode.class,
            names = {"NONE", "WRITEBACK"})
    void shouldFailBehindTheEndOfAFileThatHasShrunk(CacheMode mode) throws Exception {
        try (TestDisk disk = new TestDisk(TestDisk.options(image, mode), PlainLoop.withRing());
                TestVector vector = TestVector.of(8192)) {
            TestImages.setSize(image, HALF_BYTES);

            assertThatThrownBy(disk.driver::refreshSize)
                    .isInstanceOf(IOException.class)
                    .hasMessageStartingWith(image + ": has shrunk from " + DISK_BYTES + " to " + HALF_BYTES);

            assertThat(disk.driver.limits().sizeBytes()).isEqualTo(DISK_BYTES);
            for (long offset : new long[] {HALF_BYTES - 4096, HALF_BYTES, DISK_BYTES - 8192}) {
                assertThat(disk.read(offset, vector)).isEqualTo(-Errno.EIO);
                assertThat(disk.write(offset, pattern(8192), false)).isEqualTo(-Errno.EIO);
                assertThat(disk.discard(offset, 8192)).isEqualTo(-Errno.EIO);
                assertThat(disk.writeZeroes(offset, 8192, true, false)).isEqualTo(-Errno.EIO);
                assertThat(disk.writeZeroes(offset, 8192, false, true)).isEqualTo(-Errno.EIO);
            }
            // What is left is served as before, and the file has not grown again.
            assertThat(disk.write(HALF_BYTES - 8192, pattern(8192), true)).isZero();
            assertThat(disk.read(HALF_BYTES - 8192, 8192)).isEqualTo(pattern(8192));
            assertThat(Files.size(image)).isEqualTo(HALF_BYTES);
        }
    }

    @Test
    void shouldServeAllAgainWhenTheFileHasItsSizeBack() throws Exception {
        try (TestDisk disk = new TestDisk(TestDisk.options(image), PlainLoop.withRing())) {
            TestImages.setSize(image, HALF_BYTES + 100);
            assertThatThrownBy(disk.driver::refreshSize).hasMessageContaining("has shrunk");
            assertThat(disk.write(HALF_BYTES, pattern(512), false)).isEqualTo(-Errno.EIO);

            TestImages.setSize(image, DISK_BYTES);
            assertThat(disk.driver.refreshSize()).isFalse();

            assertThat(disk.write(DISK_BYTES - 512, pattern(512), false)).isZero();
        }
    }

    @Test
    void shouldNotTakeOverASizeThatEndsInsideABlock() throws Exception {
        try (TestDisk disk = new TestDisk(TestDisk.options(image), PlainLoop.withRing())) {
            TestImages.setSize(image, DISK_BYTES + 700);

            assertThatThrownBy(disk.driver::refreshSize).hasMessageContaining("truncate -s %512");

            assertThat(disk.driver.limits().sizeBytes()).isEqualTo(DISK_BYTES);
            assertThat(disk.write(DISK_BYTES - 512, pattern(512), false)).isZero();
        }
    }

    @Test
    void shouldServeATornTailThatHasGrown() throws Exception {
        Files.write(image, pattern(1000));
        try (TestDisk disk = new TestDisk(TestDisk.readOnly(image, CacheMode.WRITEBACK), PlainLoop.withRing());
                TestVector vector = TestVector.of(512)) {
            assertThat(disk.driver.limits().sizeBytes()).isEqualTo(1024);
            Files.write(image, pattern(1030));

            assertThat(disk.driver.refreshSize()).isTrue();
            assertThat(disk.driver.limits().sizeBytes()).isEqualTo(1536);
            assertThat(disk.read(512, 512)).isEqualTo(pattern(512));
            assertThat(disk.read(1024, 512)).isEqualTo(Arrays.copyOf(pattern(6), 512));

            Files.write(image, pattern(1020));
            assertThatThrownBy(disk.driver::refreshSize).hasMessageContaining("has shrunk from 1536 to 1020");
            assertThat(disk.read(512, 512)).isEqualTo(Arrays.copyOf(pattern(508), 512));
            assertThat(disk.read(1024, vector)).isEqualTo(-Errno.EIO);
        }
    }

    @Test
    void shouldFollowABlockDevice() throws Exception {
        try (LoopDevice loop = LoopDevice.create(directory, DISK_BYTES, 512);
                TestDisk disk = new TestDisk(TestDisk.options(loop.device()), PlainLoop.withRing())) {
            TestImages.setSize(loop.backing(), 2 * DISK_BYTES);
            Shell.check("losetup", "-c", loop.device().toString());

            assertThat(disk.driver.refreshSize()).isTrue();
            assertThat(disk.write(2 * DISK_BYTES - 512, pattern(512), true)).isZero();

            TestImages.setSize(loop.backing(), DISK_BYTES);
            Shell.check("losetup", "-c", loop.device().toString());
            assertThatThrownBy(disk.driver::refreshSize).hasMessageContaining("has shrunk");
            assertThat(disk.write(DISK_BYTES, pattern(512), true)).isEqualTo(-Errno.EIO);
            assertThat(disk.discard(DISK_BYTES, 4096)).isEqualTo(-Errno.EIO);
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockDrivers;
import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.BlockOptions.CacheMode;
import dev.vublk.blockdev.ImageType;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.qcow2.Qcow2Driver;
import dev.vublk.blockdev.qcow2.Qcow2Header;
import dev.vublk.blockdev.testing.PlainLoop;
import dev.vublk.blockdev.testing.TestDisk;
import dev.vublk.blockdev.testing.TestImages;
import dev.vublk.blockdev.testing.TestVector;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What an image of no given format is taken for, and that a guest cannot change it. */
final class ProbingTest {
    @TempDir
    private Path directory;

    /** What a guest would write to have a file of the host's for its backing file. */
    private static byte[] hostileHeader(int lengthBytes) {
        byte[] header = Qcow2Header.newImage(1 << 20)
                .backing("/etc/shadow", "raw")
                .build()
                .encode();
        return Arrays.copyOf(header, lengthBytes);
    }

    @ParameterizedTest
    @EnumSource(
            value = CacheMode.class,
            names = {"WRITEBACK", "NONE", "WRITETHROUGH"})
    void shouldRefuseWritesThatWouldMakeProbedRawImageAnotherFormat(CacheMode mode) throws Exception {
        Path image = TestImages.file(directory, 4 << 20);
        byte[] before = new byte[4096];
        new Random(1).nextBytes(before);
        try (TestDisk disk = new TestDisk(TestDisk.options(image, mode), PlainLoop.withRing())) {
            assertThat(disk.write(0, before, false)).isZero();
            assertThat(disk.write(0, hostileHeader(512), false)).isEqualTo(-Errno.EPERM);
            assertThat(disk.write(0, hostileHeader(1 << 20), true)).isEqualTo(-Errno.EPERM);
            try (TestVector vector = TestVector.of(1, 1, 1, 509)) {
                vector.put(hostileHeader(512));
                assertThat(disk.write(0, vector, false)).as("in pieces").isEqualTo(-Errno.EPERM);
            }
            assertThat(disk.read(0, 4096)).as("nothing of it was written").isEqualTo(before);
            assertThat(disk.write(512, hostileHeader(4096), false))
                    .as("elsewhere")
                    .isZero();
            assertThat(disk.flush()).as("a refused write is no failed one").isZero();
            assertThat(disk.write(0, new byte[3 << 20], false)).isZero();
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"vhdxfile", "conectix", "KDMV", "LUKS\u00ba\u00be", "WithoutFreeSpace"})
    void shouldKnowTheFormatsThatOthersWouldProbe(String magic) throws Exception {
        byte[] sector = Arrays.copyOf(magic.getBytes(StandardCharsets.ISO_8859_1), 512);
        Path image = TestImages.file(directory, 1 << 20);
        try (TestDisk disk = new TestDisk(TestDisk.options(image), PlainLoop.withRing())) {
            assertThat(disk.write(0, sector, false)).isEqualTo(-Errno.EPERM);
        }
        Files.write(image, Arrays.copyOf(sector, 1 << 20));
        assertThatThrownBy(() -> BlockDrivers.open(TestDisk.options(image)))
                .hasMessageStartingWith(image + ": looks like ")
                .hasMessageContaining("format=raw serves the file as it is");
        BlockDrivers.open(TestDisk.options(image).withType(ImageType.RAW)).close();
    }

    @Test
    void shouldLetGuestsWriteAnythingWhereRawWasAskedFor() throws Exception {
        Path image = TestImages.file(directory, 1 << 20);
        BlockOptions raw = TestDisk.options(image).withType(ImageType.RAW);
        try (TestDisk disk = new TestDisk(raw, PlainLoop.withRing())) {
            assertThat(disk.write(0, hostileHeader(512), false)).isZero();
        }
        try (TestDisk disk = new TestDisk(raw, PlainLoop.withRing())) {
            assertThat(disk.read(0, 512)).isEqualTo(hostileHeader(512));
        }
    }

    @Test
    void shouldOpenByTypeWhatWasNotProbed() throws IOException {
        Path image = TestImages.file(directory, 1 << 20);
        assertThatThrownBy(() -> BlockDrivers.open(TestDisk.options(image).withType(ImageType.QCOW2)))
                .hasMessage(image + ": qcow2: is not a qcow2 image");
        Qcow2Header header = Qcow2Header.newImage(1 << 20)
                .l1Table(0x10000, 1)
                .refcountTable(0x20000, 1)
                .build();
        Files.write(image, Arrays.copyOf(header.encode(), 1 << 20));
        BlockOptions options = TestDisk.options(image).withReadOnly(true);
        try (BlockDriver driver = BlockDrivers.open(options)) {
            assertThat(driver).isInstanceOf(Qcow2Driver.class);
        }
        try (BlockDriver driver = BlockDrivers.open(options.withType(ImageType.RAW))) {
            assertThat(driver).isInstanceOf(FileBlockDriver.class);
        }
        assertThatThrownBy(
                        () -> BlockDrivers.open(options.withType(ImageType.RAW).withSnapshot("1")))
                .hasMessageContaining("a raw image has none");
    }
}

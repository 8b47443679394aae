// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.vublk.blockdev.BlockDrivers;
import dev.vublk.blockdev.BlockOpenException;
import dev.vublk.blockdev.ImageType;
import dev.vublk.blockdev.testing.LoopDevice;
import dev.vublk.blockdev.testing.Shell;
import dev.vublk.blockdev.testing.TestDisk;
import dev.vublk.blockdev.testing.TestImages;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

final class FileProbeTest {
    @TempDir
    private Path directory;

    @Test
    void shouldTellFactsOfSparseFile() throws Exception {
        Path image = TestImages.file(directory, 10_000_000);
        ImageInfo info = FileProbe.inspect(image.toString());
        assertThat(info.image()).isEqualTo(image.toString());
        assertThat(info.blockDevice()).isFalse();
        assertThat(info.sizeBytes()).isEqualTo(10_000_000);
        assertThat(info.allocatedBytes()).isZero();
        assertThat(info.logicalBlockBytes()).isEqualTo(512);
        assertThat(info.format()).isEqualTo(ImageFormat.RAW);
        assertThat(info.canDirect()).isTrue();
        assertThat(info.directOffsetBytes()).isGreaterThanOrEqualTo(512);
    }

    @ParameterizedTest
    @CsvSource({"512", "4096"})
    void shouldTellFactsOfDevice(int sectorBytes) throws Exception {
        try (LoopDevice loop = LoopDevice.create(directory, 1 << 20, sectorBytes)) {
            ImageInfo info = FileProbe.inspect(loop.device().toString());
            assertThat(info.blockDevice()).isTrue();
            assertThat(info.sizeBytes()).isEqualTo(1 << 20);
            assertThat(info.logicalBlockBytes()).isEqualTo(sectorBytes);
            assertThat(info.canDiscard()).isTrue();
            assertThat(info.directOffsetBytes()).isEqualTo(sectorBytes);
        }
    }

    /** As their makers make them. */
    @ParameterizedTest
    @CsvSource({"qcow2,QCOW2", "vmdk,VMDK", "vhdx,VHDX", "vpc,VHD", "vdi,VDI", "qed,QED", "parallels,PARALLELS_EXTENDED"
    })
    void shouldRecognizeFormatsOfQemuImg(String qemuName, ImageFormat format) throws Exception {
        Shell.assumeProgram("qemu-img");
        Path image = directory.resolve("image");
        Shell.check("qemu-img", "create", "-q", "-f", qemuName, image.toString(), "8M");
        assertThat(FileProbe.inspect(image.toString()).format()).isEqualTo(format);
        assertThat(format.label()).isNotEqualTo("raw");
    }

    @Test
    void shouldRecognizeFixedVhdByItsFooter() throws Exception {
        Shell.assumeProgram("qemu-img");
        Path image = directory.resolve("image");
        Shell.check("qemu-img", "create", "-q", "-f", "vpc", "-o", "subformat=fixed", image.toString(), "8M");
        assertThat(FileProbe.inspect(image.toString()).format()).isEqualTo(ImageFormat.VHD_FIXED);
    }

    @ParameterizedTest
    @ValueSource(strings = {"LUKS\u00ba\u00be", "\u001f\u008b\u0008", "\u00fd7zXZ\0", "(\u00b5/\u00fd"})
    void shouldRecognizeOtherMagics(String magic) throws Exception {
        Path image = directory.resolve("image");
        Files.write(image, (magic + "\0".repeat(600)).getBytes(ISO_8859_1));
        assertThat(FileProbe.inspect(image.toString()).format()).isNotEqualTo(ImageFormat.RAW);
        Files.write(image, ("-" + magic + "\0".repeat(600)).getBytes(ISO_8859_1));
        assertThat(FileProbe.inspect(image.toString()).format()).isEqualTo(ImageFormat.RAW);
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 3, 70})
    void shouldNotStumbleOverShortFiles(int sizeBytes) throws Exception {
        Path image = directory.resolve("image");
        Files.write(image, new byte[sizeBytes]);
        assertThat(FileProbe.inspect(image.toString()).format()).isEqualTo(ImageFormat.RAW);
    }

    @Test
    void shouldOpenAsRawWhateverItLooksLikeWhenToldSo() throws Exception {
        Path image = TestImages.file(directory, 1 << 20);
        Files.write(image, "QFI\u00fb".repeat(256).getBytes(ISO_8859_1));
        try (var driver = BlockDrivers.open(TestDisk.options(image).withType(ImageType.RAW))) {
            assertThat(driver.limits().sizeBytes()).isEqualTo(1024);
        }
    }

    @Test
    void shouldInspectImageThatIsLocked() throws Exception {
        Path image = TestImages.file(directory, 1 << 20);
        try (var driver = BlockDrivers.open(TestDisk.options(image))) {
            assertThat(FileProbe.inspect(image.toString()).sizeBytes())
                    .isEqualTo(driver.limits().sizeBytes());
        }
    }

    @Test
    void shouldRefuseWhatIsNotThere() {
        assertThatThrownBy(() -> FileProbe.inspect(directory.resolve("none").toString()))
                .isInstanceOf(BlockOpenException.class)
                .isInstanceOf(IOException.class)
                .hasMessageContaining("No such file or directory");
    }
}

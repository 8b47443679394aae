// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.emulator.EmulatorUnderTest;
import dev.vublk.emulator.Guest;
import java.io.IOException;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Cylinders, heads and sectors (virtio 1.2 section 5.2.4). */
final class DiskGeometryTest {
    private static final long MIB = 1 << 20;

    @TempDir
    Path directory;

    /** Up to 504, 1008, 2016, 4032 MiB and about 7.8 GiB: 16, 32, 64, 128, 255 heads. */
    @ParameterizedTest
    @CsvSource({
        "1, 2, 16",
        "504, 1024, 16",
        "505, 513, 32",
        "1008, 1024, 32",
        "2016, 1024, 64",
        "4032, 1024, 128",
        "8000, 1019, 255",
        "10240, 1305, 255",
        "1000000000, 65535, 255"
    })
    void shouldTranslateSizes(long mebibytes, int cylinders, int heads) {
        assertThat(DiskGeometry.ofSize(mebibytes * MIB)).isEqualTo(new DiskGeometry(cylinders, heads, 63));
    }

    @Test
    void shouldHaveACylinderOnTheSmallestDisk() {
        assertThat(DiskGeometry.ofSize(512)).isEqualTo(new DiskGeometry(1, 16, 63));
    }

    @Test
    void shouldTellTheGuest() throws IOException {
        try (EmulatorUnderTest emulator = new EmulatorUnderTest.Setup(directory).start();
                Guest guest = Guest.connect(emulator)) {
            assertThat(guest.frontend().getFeatures() & 1L << 4).isNotZero();
            assertThat(guest.frontend().getConfig(16, 4)).containsExactly(130, 0, 16, 63); // 64 MiB
        }
    }

    @Test
    void shouldTellWhatTheUserSet() throws IOException {
        VirtioBlkSettings settings = new VirtioBlkSettings(
                "s", 1, 128, true, 126, true, true, 32, false, new DiskGeometry(0x1234, 200, 99), null);
        try (EmulatorUnderTest emulator = new EmulatorUnderTest.Setup(directory)
                        .settings(settings)
                        .start();
                Guest guest = Guest.connect(emulator)) {
            assertThat(guest.frontend().getConfig(16, 4)).containsExactly(0x34, 0x12, 200, 99);
        }
    }
}

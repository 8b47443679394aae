// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.DiskLifetime;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.NativeMemory;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Wear as NVMe and eMMC devices tell it; the devices are files and memory of the test. */
final class DeviceHealthTest {
    @TempDir
    Path directory;

    private void emmc(String lifeTime, String preEol) throws IOException {
        Path device = Files.createDirectories(directory.resolve("mmcblk0/device"));
        Files.writeString(device.resolve("life_time"), lifeTime + "\n");
        Files.writeString(device.resolve("pre_eol_info"), preEol + "\n");
    }

    @Test
    void shouldReadAnEmmc() throws IOException {
        emmc("0x02 0x0b", "0x01");
        assertThat(DeviceHealth.ofEmmc(directory.resolve("mmcblk0"))).isEqualTo(new DiskLifetime(1, 2, 11));
        assertThat(new DeviceHealth(-1, directory.resolve("mmcblk0")).lifetime())
                .isEqualTo(new DiskLifetime(1, 2, 11).packed());
    }

    @Test
    void shouldReadTheEmmcOfAPartition() throws IOException {
        emmc("0x01 0x01", "0x03");
        Path partition = Files.createDirectories(directory.resolve("mmcblk0/mmcblk0p1"));
        assertThat(DeviceHealth.ofEmmc(partition)).isEqualTo(new DiskLifetime(3, 1, 1));
    }

    /** A device must not make us send values that the specification reserves. */
    @Test
    void shouldNotPassReservedValuesOn() throws IOException {
        emmc("0x0c 0xff", "0x04");
        assertThat(DeviceHealth.ofEmmc(directory.resolve("mmcblk0"))).isEqualTo(DiskLifetime.UNKNOWN);
        assertThat(new DeviceHealth(-1, directory.resolve("mmcblk0")).lifetime())
                .isEqualTo(-Errno.EOPNOTSUPP);
    }

    @Test
    void shouldKnowNothingOfOtherDevices() throws IOException {
        Path disk = Files.createDirectories(directory.resolve("sda"));
        assertThat(DeviceHealth.ofEmmc(disk)).isNull();
        assertThat(new DeviceHealth(-1, disk).lifetime()).isEqualTo(-Errno.EOPNOTSUPP);
        assertThat(DeviceHealth.of(-1, false, "8:0")).isNull();
        emmc("rubbish", "0x01");
        assertThat(DeviceHealth.ofEmmc(directory.resolve("mmcblk0"))).isNull();
    }

    /** By its name the device is an NVMe; the descriptor is none, so the question fails and nothing is told. */
    @Test
    void shouldTellNothingOfAnNvmeThatDoesNotAnswer() throws IOException {
        Path disk = Files.createDirectories(directory.resolve("nvme0n1"));
        Files.writeString(disk.resolve("uevent"), "MAJOR=259\nDEVNAME=nvme0n1\nDEVTYPE=disk\n");
        assertThat(new DeviceHealth(-1, disk).lifetime()).isEqualTo(-Errno.EOPNOTSUPP);
    }

    @ParameterizedTest
    @CsvSource({
        // critical warning, available spare, percentage used -> pre EOL, used
        "0, 100, 0, 1, 1",
        "0, 100, 10, 1, 1",
        "0, 100, 11, 1, 2",
        "0, 100, 100, 1, 10",
        "0, 100, 101, 1, 11",
        "0, 100, 255, 1, 11",
        "0, 21, 50, 1, 5",
        "0, 20, 50, 2, 5",
        "0, 10, 50, 3, 5",
        "1, 100, 50, 3, 5",
        "2, 100, 50, 1, 5",
        "0, 200, 50, 1, 5"
    })
    void shouldTranslateTheHealthLog(int warning, int spare, int percentageUsed, int preEol, int used) {
        long log = NativeMemory.allocateZeroed(512);
        NativeMemory.putByte(log, (byte) warning);
        NativeMemory.putByte(log + 3, (byte) spare);
        NativeMemory.putByte(log + 5, (byte) percentageUsed);
        assertThat(DeviceHealth.ofNvmeLog(log)).isEqualTo(new DiskLifetime(preEol, used, used));
        NativeMemory.free(log);
    }
}

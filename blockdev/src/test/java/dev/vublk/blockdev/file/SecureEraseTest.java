// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.BlockOptions.CacheMode;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.testing.FaultPlan;
import dev.vublk.blockdev.testing.FaultPlan.Operation;
import dev.vublk.blockdev.testing.LoopDevice;
import dev.vublk.blockdev.testing.PlainLoop;
import dev.vublk.blockdev.testing.TestDisk;
import dev.vublk.blockdev.testing.TestImages;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Erasing where the device has no erase of its own: zeroes over the data, made stable, and only then the space back. */
final class SecureEraseTest {
    private static final int DISK_BYTES = 4 << 20;

    @TempDir
    private Path directory;

    private final List<Operation> operations = new ArrayList<>();
    private Operation failing = Operation.READ;

    private long plan(Operation operation, long offsetBytes, long lengthBytes) {
        operations.add(operation);
        return operation == failing ? -Errno.EIO : FaultPlan.NO_FAULT;
    }

    private static byte[] random() {
        byte[] content = new byte[DISK_BYTES];
        new Random(3).nextBytes(content);
        return content;
    }

    private int erase(TestDisk disk, long offsetBytes, long lengthBytes) {
        return disk.loop.run(() -> disk.channel.secureErase(offsetBytes, lengthBytes));
    }

    @Test
    void shouldOverwriteThenFlushThenGiveBack() throws Exception {
        Path image = TestImages.file(directory, DISK_BYTES);
        byte[] content = random();
        Files.write(image, content);
        try (TestDisk disk = new TestDisk(TestDisk.options(image), PlainLoop.withRing(this::plan))) {
            assertThat(erase(disk, 512, 3 << 20)).isZero();
        }
        assertThat(operations)
                .containsExactly(
                        Operation.WRITE, Operation.WRITE, Operation.WRITE, Operation.FSYNC, Operation.FALLOCATE);
        Arrays.fill(content, 512, 512 + (3 << 20), (byte) 0);
        assertThat(Files.readAllBytes(image)).isEqualTo(content);
    }

    /** Given back without being overwritten, the old data would lie in blocks that nobody can reach any more. */
    @ParameterizedTest
    @EnumSource(
            value = Operation.class,
            names = {"WRITE", "FSYNC"})
    void shouldNotGiveBackWhatCouldNotBeOverwritten(Operation operation) throws Exception {
        failing = operation;
        Path image = TestImages.file(directory, DISK_BYTES);
        try (TestDisk disk = new TestDisk(TestDisk.options(image), PlainLoop.withRing(this::plan))) {
            assertThat(erase(disk, 0, 4096)).isEqualTo(-Errno.EIO);
        }
        assertThat(operations).contains(operation).doesNotContain(Operation.FALLOCATE);
    }

    @ParameterizedTest
    @EnumSource(
            value = CacheMode.class,
            names = {"WRITEBACK", "NONE"})
    void shouldEraseADevice(CacheMode mode) throws Exception {
        byte[] content = random();
        try (LoopDevice device = LoopDevice.create(directory, DISK_BYTES, 4096)) {
            Files.write(device.device(), content);
            BlockOptions options = BlockOptions.of(device.device().toString())
                    .withCacheMode(mode)
                    .withLogicalBlockBytes(512);
            try (TestDisk disk = new TestDisk(options, PlainLoop.withRing())) {
                assertThat(disk.driver.limits().secureEraseAlignmentBytes())
                        .as("the device's own sector")
                        .isEqualTo(4096);
                assertThat(erase(disk, 8192, 1 << 20)).isZero();
                assertThat(erase(disk, 2 << 20, 4096)).isZero();
                Arrays.fill(content, 8192, 8192 + (1 << 20), (byte) 0);
                Arrays.fill(content, 2 << 20, (2 << 20) + 4096, (byte) 0);
                assertThat(disk.read(0, DISK_BYTES)).isEqualTo(content);
            }
        }
    }

    @Test
    void shouldNotEraseAReadOnlyDisk() throws Exception {
        Path image = TestImages.file(directory, DISK_BYTES);
        try (TestDisk disk = new TestDisk(TestDisk.readOnly(image, CacheMode.WRITEBACK), PlainLoop.withRing())) {
            assertThat(disk.driver.limits().secureEraseAlignmentBytes()).isZero();
            assertThat(erase(disk, 0, 512)).isEqualTo(-Errno.EROFS);
        }
    }
}

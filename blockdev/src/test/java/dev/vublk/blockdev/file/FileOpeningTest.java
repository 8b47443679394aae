// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockDrivers;
import dev.vublk.blockdev.BlockLimits;
import dev.vublk.blockdev.BlockOpenException;
import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.BlockOptions.CacheMode;
import dev.vublk.blockdev.BlockOptions.IoEngine;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.testing.PlainLoop;
import dev.vublk.blockdev.testing.Shell;
import dev.vublk.blockdev.testing.TestDisk;
import dev.vublk.blockdev.testing.TestImages;
import dev.vublk.blockdev.testing.TestVector;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What can be opened and how, and the one line that is said when it cannot. */
final class FileOpeningTest {
    @TempDir
    private Path directory;

    private static void assertRefused(BlockOptions options, String reason) {
        assertThatThrownBy(() -> BlockDrivers.open(options))
                .isInstanceOf(BlockOpenException.class)
                .hasMessageStartingWith(options.image() + ": ")
                .hasMessageContaining(reason)
                .hasMessageNotContaining("\n");
    }

    @Test
    void shouldRefuseMissingFile() {
        assertRefused(TestDisk.options(directory.resolve("none")), "No such file or directory");
    }

    @Test
    void shouldRefuseDirectory() {
        assertRefused(TestDisk.options(directory), "is a directory");
    }

    @Test
    void shouldRefuseFifoWithoutWaitingForItsWriter() throws IOException {
        Path fifo = directory.resolve("fifo");
        Shell.check("mkfifo", fifo.toString());
        assertRefused(TestDisk.options(fifo), "is a FIFO");
        assertThatThrownBy(() -> FileProbe.inspect(fifo.toString())).hasMessageContaining("is a FIFO");
    }

    @Test
    void shouldRefuseCharacterDevice() {
        assertRefused(TestDisk.options(Path.of("/dev/zero")), "is a character device");
    }

    @Test
    void shouldRefuseEmptyFile() throws IOException {
        assertRefused(TestDisk.options(TestImages.file(directory, 0)), "is empty");
    }

    /** A file of sysfs may not be opened for writing, not even by root. */
    @Test
    void shouldRefuseWhatMayNotBeWritten() {
        assertRefused(
                TestDisk.options(Path.of("/sys/kernel/uevent_seqnum")),
                "cannot be opened for reading and writing: Permission denied");
    }

    /** Procfs has no O_DIRECT. */
    @Test
    void shouldNameCacheModeWhereDirectIsImpossible() {
        assertRefused(
                TestDisk.readOnly(Path.of("/proc/version"), CacheMode.NONE),
                "which cache=none needs; use cache=writeback");
        assertRefused(
                TestDisk.readOnly(Path.of("/proc/version"), CacheMode.DIRECTSYNC),
                "which cache=directsync needs; use cache=writethrough");
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 511, 513, 1000, 1048577})
    void shouldRefuseToWriteToFileWithTornTail(long sizeBytes) throws IOException {
        assertRefused(TestDisk.options(TestImages.file(directory, sizeBytes)), "truncate -s %512");
    }

    @ParameterizedTest
    @EnumSource(CacheMode.class)
    void shouldServeTornTailReadOnlyWithZeroesBehind(CacheMode mode) throws Exception {
        Path image = directory.resolve("torn");
        Files.write(image, "x".repeat(1000).getBytes(US_ASCII));
        try (TestDisk disk = new TestDisk(TestDisk.readOnly(image, mode), PlainLoop.withoutRing());
                TestVector vector = TestVector.of(100, 300, 112)) {
            assertThat(disk.driver.limits().sizeBytes()).isGreaterThanOrEqualTo(1024);
            assertThat(disk.driver.limits().sizeBytes() % 512).isZero();
            assertThat(disk.read(512, vector)).isZero();
            assertThat(new String(vector.get(), US_ASCII)).isEqualTo("x".repeat(488) + "\0".repeat(24));
            assertThat(disk.read(0, 512)).containsOnly('x');
        }
        assertThat(Files.size(image)).isEqualTo(1000);
    }

    @Test
    void shouldPresentWantedBlockSizeAndRefuseSizeThatDoesNotFit() throws Exception {
        Path image = TestImages.file(directory, 8192 + 512);
        BlockOptions options = BlockOptions.of(image.toString()).withLogicalBlockBytes(4096);
        assertRefused(options, "truncate -s %4096");
        TestImages.setSize(image, 12288);
        try (BlockDriver driver = BlockDrivers.open(options)) {
            assertThat(driver.limits().logicalBlockBytes()).isEqualTo(4096);
            assertThat(driver.limits().physicalBlockBytes()).isGreaterThanOrEqualTo(4096);
            assertThat(driver.limits().discardGranularityBytes()).isGreaterThanOrEqualTo(4096);
        }
    }

    @ParameterizedTest
    @EnumSource(CacheMode.class)
    void shouldTellLimitsOfFile(CacheMode mode) throws Exception {
        Path image = TestImages.file(directory, 1 << 20);
        try (BlockDriver driver = BlockDrivers.open(TestDisk.options(image, mode))) {
            BlockLimits limits = driver.limits();
            assertThat(limits.sizeBytes()).isEqualTo(1 << 20);
            assertThat(limits.readOnly()).isFalse();
            assertThat(limits.logicalBlockBytes()).isEqualTo(512);
            assertThat(limits.physicalBlockBytes()).isGreaterThanOrEqualTo(512);
            assertThat(limits.minIoBytes()).isGreaterThanOrEqualTo(512);
            assertThat(limits.supportsDiscard()).isTrue();
            assertThat(limits.supportsWriteZeroes()).isTrue();
            assertThat(limits.writeCache()).isTrue();
            assertThat(limits.initialWriteback())
                    .isEqualTo(mode != CacheMode.WRITETHROUGH && mode != CacheMode.DIRECTSYNC);
        }
    }

    @Test
    void shouldRefuseToChangeReadOnlyDisk() throws Exception {
        Path image = TestImages.file(directory, 1 << 20);
        try (TestDisk disk = new TestDisk(TestDisk.readOnly(image, CacheMode.WRITEBACK), PlainLoop.withRing())) {
            assertThat(disk.driver.limits().readOnly()).isTrue();
            assertThat(disk.write(0, new byte[512], false)).isEqualTo(-Errno.EROFS);
            assertThat(disk.discard(0, 512)).isEqualTo(-Errno.EROFS);
            assertThat(disk.writeZeroes(0, 512, true, false)).isEqualTo(-Errno.EROFS);
            assertThat(disk.flush()).isZero();
            assertThat(disk.loop.callCount()).isZero();
        }
    }

    @Test
    void shouldIgnoreDiscardWhenNotWanted() throws Exception {
        Path image = directory.resolve("full");
        Files.write(image, new byte[1 << 20]);
        BlockOptions options = BlockOptions.of(image.toString()).withDiscard(false);
        try (TestDisk disk = new TestDisk(options, PlainLoop.withRing())) {
            assertThat(disk.driver.limits().supportsDiscard()).isFalse();
            assertThat(disk.discard(0, 1 << 20)).isZero();
            assertThat(disk.loop.callCount()).isZero();
            assertThat(disk.writeZeroes(0, 1 << 20, true, true)).isZero();
        }
        assertThat(FileProbe.inspect(image.toString()).allocatedBytes())
                .as("zeroes keep their space too")
                .isGreaterThanOrEqualTo(1 << 20);
    }

    @Test
    void shouldKeepSizeWhenUnmappingTail() throws Exception {
        Path image = directory.resolve("full");
        Files.write(image, new byte[1 << 20]);
        try (TestDisk disk = new TestDisk(TestDisk.options(image), PlainLoop.withRing())) {
            assertThat(disk.discard(1 << 19, 1 << 19)).isZero();
            assertThat(disk.writeZeroes(1 << 18, (1 << 20) - (1 << 18), true, true))
                    .isZero();
        }
        assertThat(Files.size(image)).isEqualTo(1 << 20);
        assertThat(FileProbe.inspect(image.toString()).allocatedBytes())
                .as("a quarter, and what the file system needs to know it")
                .isLessThanOrEqualTo((1 << 18) + (16 << 10));
    }

    @Test
    void shouldChooseEngineByWhatTheLoopHas() throws Exception {
        Path image = TestImages.file(directory, 1 << 20);
        BlockOptions options = BlockOptions.of(image.toString()).withEngine(IoEngine.IO_URING);
        try (BlockDriver driver = BlockDrivers.open(options)) {
            assertThatThrownBy(() -> driver.openChannel(PlainLoop.withoutRing()))
                    .isInstanceOf(UncheckedIOException.class)
                    .hasCauseInstanceOf(BlockOpenException.class)
                    .hasMessageContaining("io_uring is not available");
            driver.openChannel(PlainLoop.withRing()).close();
        }
        try (TestDisk disk = new TestDisk(TestDisk.options(image), PlainLoop.withoutRing())) {
            assertThat(disk.read(0, 512)).isEqualTo(new byte[512]);
        }
    }

    @Test
    void shouldRefuseToCloseUnderOpenChannel() throws Exception {
        BlockDriver driver = BlockDrivers.open(TestDisk.options(TestImages.file(directory, 1 << 20)));
        BlockChannel channel = driver.openChannel(PlainLoop.withRing());
        assertThatThrownBy(driver::close)
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("1 channels open");
        channel.close();
        driver.close();
    }
}

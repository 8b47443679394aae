// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.vublk.blockdev.BlockDrivers;
import dev.vublk.blockdev.BlockOpenException;
import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.BlockOptions.CacheMode;
import dev.vublk.blockdev.BlockOptions.IoEngine;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.FileStatus;
import dev.vublk.blockdev.linux.Iovec;
import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.blockdev.linux.PosixFile;
import dev.vublk.blockdev.testing.PlainLoop;
import dev.vublk.blockdev.testing.TestDisk;
import dev.vublk.blockdev.testing.TestImages;
import dev.vublk.blockdev.testing.TestVector;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The mmap engine on /dev/shm: what it has beside the rules that {@link DifferentialTest} sees to for every engine. */
final class MappedFileTest {
    private static final int DISK_BYTES = 4 << 20;

    @TempDir
    private Path directory;

    private Path image;

    @BeforeEach
    void createImage() throws Exception {
        image = TestImages.file(Path.of("/dev/shm"), DISK_BYTES);
    }

    @AfterEach
    void deleteImage() throws Exception {
        Files.delete(image);
    }

    private TestDisk open() throws Exception {
        return new TestDisk(TestDisk.options(image, CacheMode.WRITEBACK, IoEngine.MMAP), PlainLoop.withRing());
    }

    private static byte[] bytes(int length, int value) {
        byte[] bytes = new byte[length];
        Arrays.fill(bytes, (byte) value);
        return bytes;
    }

    private long allocatedBytes() throws Exception {
        return FileStatus.of(image.toString()).allocatedBytes();
    }

    @Test
    void shouldMakeNoMemoryOfHolesThatAreRead() throws Exception {
        try (TestDisk disk = open()) {
            for (int i = 0; i < 3; i++) {
                assertThat(disk.read(0, DISK_BYTES / 32)).isEqualTo(new byte[DISK_BYTES / 32]);
                assertThat(disk.read(0, DISK_BYTES)).isEqualTo(new byte[DISK_BYTES]);
            }
            assertThat(allocatedBytes()).isZero();
            assertThat(disk.write(65536, bytes(4096, 1), false)).isZero();
            assertThat(disk.read(65536, 65536)).startsWith(bytes(4096, 1)).endsWith(new byte[61440]);
            assertThat(allocatedBytes()).isEqualTo(4096);
        }
    }

    @Test
    void shouldGiveSpaceBackAndTakeItAgain() throws Exception {
        try (TestDisk disk = open()) {
            for (int i = 1; i < 4; i++) {
                assertThat(disk.write(0, bytes(DISK_BYTES, i), false)).isZero();
                assertThat(disk.write(65536, bytes(65536, i), true)).isZero();
                assertThat(disk.read(65536, 65536)).containsOnly(i);
                assertThat(allocatedBytes()).isEqualTo(DISK_BYTES);
                assertThat(disk.discard(65536, 131072)).isZero();
                assertThat(disk.discard(1 << 20, 3 << 20)).isZero();
                assertThat(disk.read(65536, 131072)).containsOnly(0);
                assertThat(disk.read(1 << 20, 65536)).containsOnly(0);
                assertThat(allocatedBytes()).isEqualTo((1 << 20) - 131072);
            }
        }
    }

    /** Finding out what is there must not take longer the more is there. */
    @Test
    void shouldLearnAChunkAtATime() throws Exception {
        int fd = PosixFile.open(image.toString(), PosixFile.O_RDWR);
        long vector = NativeMemory.allocateZeroed(16);
        Files.write(image, bytes(DISK_BYTES, 1));
        try (FileMapping mapping = FileMapping.of(fd, DISK_BYTES, true, true)) {
            assertThat(mapping.vectorBytes()).isEqualTo(16);
            mapping.learn(65536 + 512, 1024, vector, 15);
            assertThat(mapping.view().isPresent(65536, 512)).isFalse();
            mapping.learn(65536 + 512, 1024, vector, 16);
            assertThat(mapping.view().isPresent(65536, 65536)).isTrue();
            assertThat(mapping.view().isPresent(65535, 2)).isFalse();
            assertThat(mapping.view().isPresent(131072, 1)).isFalse();
            mapping.forget(131071, 1);
            assertThat(mapping.view().isPresent(65536, 512)).isFalse();
        } finally {
            PosixFile.close(fd);
            NativeMemory.free(vector);
        }
    }

    /** Without system calls: once its pages are known, the engine needs no loop to help. */
    @Test
    void shouldServeKnownPagesOnTheLoop() throws Exception {
        try (TestDisk disk = open()) {
            assertThat(disk.write(65536, bytes(131072, 7), false)).isZero();
            assertThat(disk.read(65536, 131072)).containsOnly(7);
            assertThat(disk.loop.callCount()).isZero();
        }
    }

    /** Somebody truncates the image: no request is said to have worked from then on, however the code is compiled. */
    @Test
    void shouldFailWhereTheFileIsGone() throws Exception {
        int rounds = 20_000;
        try (TestDisk disk = open();
                TestVector vector = TestVector.of(4096)) {
            assertThat(disk.write(0, bytes(DISK_BYTES, 1), false)).isZero();
            for (int i = 0; i < rounds; i++) {
                assertThat(disk.read(4096L * (i % 1024), vector)).isZero();
            }
            TestImages.setSize(image, DISK_BYTES / 2);
            for (int i = 0; i < rounds; i++) {
                int page = i % 1024;
                int result = disk.read(4096L * page, vector);
                assertThat(result).as("round %s, page %s", i, page).isEqualTo(page < 512 ? 0 : -Errno.EIO);
                if (i % 1024 == 1023) {
                    // Forgets what it has learned of the pages that are gone.
                    TestImages.setSize(image, DISK_BYTES);
                    assertThat(disk.write(DISK_BYTES / 2, bytes(DISK_BYTES / 2, 1), false))
                            .isZero();
                    for (int j = 512; j < 1024; j++) {
                        assertThat(disk.read(4096L * j, vector)).isZero();
                    }
                    TestImages.setSize(image, DISK_BYTES / 2);
                }
            }
        }
    }

    /** The guest takes its own memory away. */
    @Test
    void shouldFailWhereTheGuestsMemoryIsGone() throws Exception {
        Path memory = TestImages.file(Path.of("/dev/shm"), 65536);
        int fd = PosixFile.open(memory.toString(), PosixFile.O_RDWR);
        long address = PosixFile.map(fd, 65536, true);
        long iov = NativeMemory.allocateZeroed(Iovec.SIZE_BYTES);
        try (TestDisk disk = open()) {
            assertThat(disk.write(0, bytes(DISK_BYTES, 1), false)).isZero();
            Iovec.set(iov, address, 65536);
            assertThat(disk.channel.readv(0, iov, 1, 65536)).isZero();
            PosixFile.ftruncate(fd, 0);
            for (int i = 0; i < 10_000; i++) {
                assertThat(disk.channel.readv(0, iov, 1, 65536)).isEqualTo(-Errno.EFAULT);
                assertThat(disk.channel.writev(65536, iov, 1, 65536, false)).isEqualTo(-Errno.EFAULT);
            }
            assertThat(disk.read(65536, 65536)).containsOnly(1);
        } finally {
            PosixFile.unmap(address, 65536);
            PosixFile.close(fd);
            NativeMemory.free(iov);
            Files.delete(memory);
        }
    }

    @Test
    void shouldReachTheNewEndOfAGrownFile() throws Exception {
        try (TestDisk disk = open()) {
            assertThat(disk.write(0, bytes(DISK_BYTES, 1), false)).isZero();
            TestImages.setSize(image, 2 * DISK_BYTES);
            assertThat(disk.driver.refreshSize()).isTrue();
            assertThat(disk.write(DISK_BYTES - 4096, bytes(131072, 2), false)).isZero();
            assertThat(disk.write(DISK_BYTES - 4096, bytes(131072, 3), false)).isZero();
            assertThat(disk.read(DISK_BYTES - 4096, 131072)).containsOnly(3);
            assertThat(disk.read(DISK_BYTES - 8192, 4096)).containsOnly(1);
        }
    }

    @Test
    void shouldServeReadOnly() throws Exception {
        Files.write(image, bytes(DISK_BYTES, 9));
        try (TestDisk disk = new TestDisk(TestDisk.readOnly(image, CacheMode.NONE), PlainLoop.withRing())) {
            assertThat(disk.read(0, 8192)).containsOnly(9);
            assertThat(disk.read(0, 8192)).containsOnly(9);
            assertThat(disk.write(0, bytes(512, 1), false)).isEqualTo(-Errno.EROFS);
        }
    }

    @Test
    void shouldRefuseWhatIsNotInMemory() throws Exception {
        BlockOptions options =
                TestDisk.options(TestImages.file(directory, DISK_BYTES), CacheMode.WRITEBACK, IoEngine.MMAP);
        assertThatThrownBy(() -> BlockDrivers.open(options))
                .isInstanceOf(BlockOpenException.class)
                .hasMessageContaining("engine mmap is for files in memory");
    }
}

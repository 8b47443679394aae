// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.BlockOptions.CacheMode;
import dev.vublk.blockdev.BlockOptions.IoEngine;
import dev.vublk.blockdev.ImageType;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.Iovec;
import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.blockdev.testing.FaultPlan;
import dev.vublk.blockdev.testing.PlainLoop;
import dev.vublk.blockdev.testing.TestDisk;
import dev.vublk.blockdev.testing.TestImages;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** More than one system call moves (MAX_RW_COUNT, 2 GiB less a page), from a sparse file into shared buffers. */
final class LargeRequestTest {
    private static final int BUFFER_BYTES = 64 << 20;
    private static final int BUFFER_COUNT = 33;
    private static final long DISK_BYTES = (long) BUFFER_BYTES * BUFFER_COUNT;

    @ParameterizedTest
    @EnumSource(
            value = IoEngine.class,
            names = {"IO_URING", "THREADS", "MMAP"})
    void shouldReadMoreThanOneCallMoves(IoEngine engine) throws Exception {
        Path image = TestImages.file(TestImages.directories().getLast(), DISK_BYTES);
        long buffer = NativeMemory.allocate(BUFFER_BYTES);
        long iov = NativeMemory.allocateZeroed((long) BUFFER_COUNT * Iovec.SIZE_BYTES);
        PlainLoop loop = PlainLoop.withRing();
        try (TestDisk disk = new TestDisk(TestDisk.options(image, CacheMode.WRITEBACK, engine), loop)) {
            byte[] last = new byte[512];
            Arrays.fill(last, (byte) 6);
            assertThat(disk.write(DISK_BYTES - 512, last, false)).isZero();
            for (int i = 0; i < BUFFER_COUNT; i++) {
                Iovec.set(iov + (long) i * Iovec.SIZE_BYTES, buffer, BUFFER_BYTES); // all into the same one
            }
            assertThat(loop.run(() -> disk.channel.readv(0, iov, BUFFER_COUNT, DISK_BYTES)))
                    .isZero();
            byte[] end = new byte[1024];
            NativeMemory.get(buffer + BUFFER_BYTES - 1024, end, 0, 1024);
            assertThat(Arrays.copyOf(end, 512)).containsOnly(0);
            assertThat(Arrays.copyOfRange(end, 512, 1024)).isEqualTo(last);
        } finally {
            NativeMemory.free(iov);
            NativeMemory.free(buffer);
            Files.delete(image);
        }
    }

    /** The length of one submission is an int: a single buffer of more must not wrap around. */
    @Test
    void shouldSubmitLargeSingleBufferInPieces() throws Exception {
        List<Long> lengths = new CopyOnWriteArrayList<>();
        FaultPlan refusing = (operation, offsetBytes, lengthBytes) -> {
            lengths.add(lengthBytes);
            return -Errno.EIO;
        };
        Path image = TestImages.file(TestImages.directories().getLast(), DISK_BYTES);
        long iov = NativeMemory.allocateZeroed(Iovec.SIZE_BYTES);
        // Not probed: or the first sector would be looked at.
        BlockOptions options =
                TestDisk.options(image, CacheMode.WRITEBACK, IoEngine.IO_URING).withType(ImageType.RAW);
        try (TestDisk disk = new TestDisk(options, PlainLoop.withRing(refusing))) {
            Iovec.set(iov, 1L << 40, 5L << 30); // never touched
            assertThat(disk.loop.run(() -> disk.channel.readv(0, iov, 1, DISK_BYTES)))
                    .isEqualTo(-Errno.EIO);
            assertThat(disk.loop.run(() -> disk.channel.writev(0, iov, 1, DISK_BYTES, false)))
                    .isEqualTo(-Errno.EIO);
            assertThat(lengths).containsExactly(0x7ffff000L, 0x7ffff000L);
        } finally {
            NativeMemory.free(iov);
            Files.delete(image);
        }
    }
}

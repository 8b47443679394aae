// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.vublk.blockdev.BlockOpenException;
import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.BlockOptions.CacheMode;
import dev.vublk.blockdev.BlockOptions.IoEngine;
import dev.vublk.blockdev.BlockStatus;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.blockdev.testing.PlainLoop;
import dev.vublk.blockdev.testing.Shell;
import dev.vublk.blockdev.testing.TestImages;
import dev.vublk.blockdev.testing.TestVector;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A file that grows under its writer and has zeroes behind its end. */
final class ContainerFileTest {
    private static final int MODEL_BYTES = 6 << 20;
    private static final int REQUESTS = 300;

    @TempDir
    private Path directory;

    private static ContainerFile open(Path file) throws BlockOpenException {
        return ContainerFile.open(BlockOptions.of(file.toString()));
    }

    @ParameterizedTest
    @CsvSource({
        "WRITEBACK,IO_URING,1000,",
        "WRITEBACK,THREADS,0,",
        "NONE,IO_URING,4096,",
        "NONE,THREADS,70000,",
        "UNSAFE,AUTO,100,/dev/shm",
        "WRITETHROUGH,MMAP,0,/dev/shm"
    })
    void shouldAgreeWithArrayThatGrows(CacheMode mode, IoEngine engine, int startBytes, Path where) throws Exception {
        Assumptions.assumeTrue(where == null || Files.isWritable(where), "skipped: no tmpfs");
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        Path image = TestImages.file(where == null ? directory : where, startBytes);
        byte[] model = new byte[MODEL_BYTES];
        PlainLoop loop = PlainLoop.withRing();
        BlockOptions options =
                BlockOptions.of(image.toString()).withCacheMode(mode).withEngine(engine);
        try (ContainerFile file = ContainerFile.open(options);
                ContainerChannel channel = file.openChannel(loop)) {
            for (int i = 0; i < REQUESTS; i++) {
                int reach = Math.min(MODEL_BYTES, MODEL_BYTES / REQUESTS * (i + 2));
                int offset = random.nextInt(reach);
                int length = 1 + random.nextInt(Math.min(random.nextBoolean() ? 300_000 : 600, reach - offset));
                step(channel, loop, random, model, offset, length, "seed " + seed + " request " + i);
            }
            assertThat(loop.run(() -> channel.truncate(MODEL_BYTES))).isZero();
            assertThat(loop.run(channel::flush)).isZero();
        } finally {
            assertThat(Files.readAllBytes(image)).as("seed %d", seed).isEqualTo(model);
            Files.delete(image);
        }
    }

    private static void step(
            ContainerChannel channel,
            PlainLoop loop,
            Random random,
            byte[] model,
            int offset,
            int length,
            String name) {
        byte[] data = new byte[length];
        random.nextBytes(data);
        int kind = random.nextInt(10);
        if (kind < 3) {
            try (TestVector vector = TestVector.random(random, length).put(data)) {
                int result = loop.run(
                        () -> channel.writev(offset, vector.iov(), vector.count(), length, random.nextBoolean()));
                assertThat(result).as(name).isZero();
            }
            System.arraycopy(data, 0, model, offset, length);
        } else if (kind == 3) {
            long address = NativeMemory.allocateZeroed(length);
            NativeMemory.put(data, 0, address, length);
            assertThat(loop.run(() -> channel.write(offset, address, length, false)))
                    .as(name)
                    .isZero();
            NativeMemory.free(address);
            System.arraycopy(data, 0, model, offset, length);
        } else if (kind == 4) {
            assertThat(loop.run(() -> channel.writeZeroes(offset, length, random.nextBoolean(), false)))
                    .as(name)
                    .isZero();
            Arrays.fill(model, offset, offset + length, (byte) 0);
        } else if (kind == 5) {
            assertThat(loop.run(() -> channel.discard(offset, length))).as(name).isZero();
            Arrays.fill(model, offset, offset + length, (byte) 0); // a regular file's holes are zeroes
        } else if (kind == 6) {
            long address = NativeMemory.allocate(length);
            assertThat(loop.run(() -> channel.read(offset, address, length)))
                    .as(name)
                    .isZero();
            NativeMemory.get(address, data, 0, length);
            NativeMemory.free(address);
            assertThat(Arrays.equals(data, 0, length, model, offset, offset + length))
                    .as(name)
                    .isTrue();
        } else {
            try (TestVector vector = TestVector.random(random, length)) {
                assertThat(loop.run(() -> channel.readv(offset, vector.iov(), vector.count(), length)))
                        .as(name)
                        .isZero();
                assertThat(Arrays.equals(vector.get(), 0, length, model, offset, offset + length))
                        .as(name)
                        .isTrue();
            }
        }
    }

    @Test
    void shouldReadZeroesBehindItsEndWithoutGrowing() throws IOException {
        Path image = TestImages.file(directory, 0);
        try (ContainerFile file = open(image);
                ContainerChannel channel = file.openBlockingChannel();
                TestVector vector = TestVector.of(512).put(filled(512))) {
            assertThat(channel.readv(1L << 40, vector.iov(), vector.count(), 512))
                    .isZero();
            assertThat(vector.get()).isEqualTo(new byte[512]);
            assertThat(channel.writeZeroes(1L << 40, 512, true, true)).isZero();
            assertThat(channel.discard(1L << 40, 512)).isZero();
            assertThat(channel.sizeBytes()).isZero();
        }
        assertThat(Files.size(image)).isZero();
    }

    private static byte[] filled(int length) {
        byte[] data = new byte[length];
        Arrays.fill(data, (byte) 7);
        return data;
    }

    @Test
    void shouldRefuseToChangeWhatWasOpenedForReading() throws IOException {
        Path image = TestImages.file(directory, 1000);
        try (ContainerFile file =
                        ContainerFile.open(BlockOptions.of(image.toString()).withReadOnly(true));
                ContainerChannel channel = file.openBlockingChannel()) {
            assertThat(channel.truncate(0)).isEqualTo(-Errno.EROFS);
            assertThat(channel.write(0, 0, 1, false)).isEqualTo(-Errno.EROFS);
            assertThat(channel.writeZeroes(0, 1, false, false)).isEqualTo(-Errno.EROFS);
            assertThat(channel.discard(0, 1)).isEqualTo(-Errno.EROFS);
            assertThat(file.limits().sizeBytes()).isEqualTo(1024);
        }
    }

    @Test
    void shouldTellHolesFromData() throws IOException {
        Path image = TestImages.file(directory, 0);
        try (ContainerFile file = open(image);
                ContainerChannel channel = file.openBlockingChannel()) {
            long address = NativeMemory.allocateZeroed(65536);
            assertThat(channel.write(1 << 20, address, 65536, false)).isZero();
            NativeMemory.free(address);
            BlockStatus status = new BlockStatus();
            assertThat(channel.status(0, 4 << 20, status)).isZero();
            assertThat(status.zero).isTrue();
            assertThat(status.lengthBytes).isEqualTo(1 << 20);
            assertThat(channel.status(1 << 20, 4 << 20, status)).isZero();
            assertThat(status.data).isTrue();
            assertThat(status.fileOffsetBytes).isEqualTo(1 << 20);
            assertThat(status.lengthBytes).isEqualTo(65536);
            assertThat(channel.status((1 << 20) + 65536, 4 << 20, status)).isZero();
            assertThat(status.zero).isTrue();
            assertThat(status.lengthBytes).isEqualTo(4 << 20);
        }
    }

    @Test
    void shouldKeepWritersAndOthersResizersAway() throws IOException {
        Path image = TestImages.file(directory, 1 << 20);
        BlockOptions readOnly = BlockOptions.of(image.toString()).withReadOnly(true);
        try (ContainerFile reader = ContainerFile.open(readOnly)) {
            ContainerFile.open(readOnly).close();
            assertThatThrownBy(() -> open(image)).hasMessageContaining("in use").hasMessageContaining("(pid ");
            reader.deactivate();
        }
        Shell.assumeProgram("qemu-img");
        try (ContainerFile writer = open(image)) {
            assertThat(Shell.run("qemu-img", "resize", "-f", "raw", image.toString(), "2M")
                            .exitCode())
                    .isNotZero();
            assertThat(writer.sizeBytes()).isEqualTo(1 << 20);
        }
    }
}

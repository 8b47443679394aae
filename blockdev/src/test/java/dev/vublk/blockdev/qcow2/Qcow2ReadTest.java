// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockDrivers;
import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.BlockOptions.CacheMode;
import dev.vublk.blockdev.BlockStatus;
import dev.vublk.blockdev.file.OfflineFile;
import dev.vublk.blockdev.testing.PlainLoop;
import dev.vublk.blockdev.testing.Shell;
import dev.vublk.blockdev.testing.TestDisk;
import dev.vublk.blockdev.testing.TestVector;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Images that QEMU's programs have made hold here what they hold there. */
final class Qcow2ReadTest {
    private static final int DISK_BYTES = 3 << 20;

    @TempDir
    private Path directory;

    private final long seed = new Random().nextLong();
    private final Random random = new Random(seed);

    @BeforeEach
    void needQemu() {
        Shell.assumeQemuTools();
        System.out.println("Qcow2ReadTest seed " + seed);
    }

    private Path create(String name, String options, long sizeBytes) throws IOException {
        Path image = directory.resolve(name);
        Shell.check("qemu-img", "create", "-q", "-f", "qcow2", "-o", options, image.toString(), sizeBytes + "");
        return image;
    }

    /** Random writes, zeroes and discards, all over the disk. */
    private void fill(Path image, long sizeBytes, int count) throws IOException {
        Path bytes = directory.resolve("bytes");
        byte[] data = new byte[1 << 20];
        random.nextBytes(data);
        Arrays.fill(data, 1 << 19, 3 << 18, (byte) 0x55);
        Files.write(bytes, data);
        List<String> command = new ArrayList<>(List.of("qemu-io", "-f", "qcow2", "-d", "unmap"));
        for (int i = 0; i < count; i++) {
            long length = 512L * (1 + random.nextInt(random.nextBoolean() ? 8 : 400));
            length = Math.min(length, sizeBytes);
            long offset = 512L * random.nextLong((sizeBytes - length) / 512 + 1);
            command.add("-c");
            command.add(
                    switch (random.nextInt(8)) {
                        case 0 -> "write -z " + offset + " " + length;
                        case 1 -> "write -z -u " + offset + " " + length;
                        case 2 -> "discard " + offset + " " + length;
                        default -> "write -s " + bytes + " " + offset + " " + length;
                    });
        }
        command.add(image.toString());
        Shell.check(command.toArray(String[]::new));
    }

    private static byte[] truth(Path image, String... more) throws IOException {
        Path raw = image.resolveSibling("truth.raw");
        List<String> command = new ArrayList<>(List.of("qemu-img", "convert", "-U", "-f", "qcow2", "-O", "raw"));
        command.addAll(List.of(more));
        command.addAll(List.of(image.toString(), raw.toString()));
        Shell.check(command.toArray(String[]::new));
        return Files.readAllBytes(raw);
    }

    private void assertReadsAs(byte[] truth, BlockOptions options) throws Exception {
        try (TestDisk disk = new TestDisk(options.withReadOnly(true), PlainLoop.withRing())) {
            assertThat(disk.driver.limits().sizeBytes()).isEqualTo(truth.length);
            for (int at = 0; at < truth.length; at += 1 << 20) {
                int length = Math.min(1 << 20, truth.length - at);
                assertRead(disk, truth, at, length, TestVector.of(length));
            }
            for (int i = 0; i < 100; i++) {
                int length = 512 * (1 + random.nextInt(Math.min(300, truth.length / 512)));
                int at = 512 * random.nextInt((truth.length - length) / 512 + 1);
                assertRead(disk, truth, at, length, TestVector.random(random, length));
            }
            assertStatusIsTrue(disk, truth);
        }
    }

    private void assertRead(TestDisk disk, byte[] truth, int at, int length, TestVector vector) {
        try (vector) {
            assertThat(disk.read(at, vector)).isZero();
            assertThat(Arrays.mismatch(vector.get(), Arrays.copyOfRange(truth, at, at + length)))
                    .as("seed %d, %d bytes at %d", seed, length, at)
                    .isEqualTo(-1);
        }
    }

    /** Runs cover the disk, and what they say is zero is. */
    private static void assertStatusIsTrue(TestDisk disk, byte[] truth) {
        BlockStatus status = new BlockStatus();
        for (long at = 0; at < truth.length; at += status.lengthBytes) {
            long offset = at;
            assertThat(disk.loop.run(() -> disk.channel.status(offset, truth.length - offset, status)))
                    .isZero();
            assertThat(status.lengthBytes).isBetween(1L, truth.length - at);
            if (status.zero || !status.present) {
                int end = (int) (at + status.lengthBytes);
                assertThat(Arrays.mismatch(
                                new byte[(int) status.lengthBytes], Arrays.copyOfRange(truth, (int) at, end)))
                        .isEqualTo(-1);
            }
        }
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = ';',
            value = {
                "compat=0.10,cluster_size=512",
                "compat=0.10,cluster_size=65536",
                "compat=1.1,cluster_size=512,refcount_bits=1",
                "compat=1.1,cluster_size=1024,refcount_bits=2",
                "compat=1.1,cluster_size=4096,refcount_bits=4",
                "compat=1.1,cluster_size=16384,refcount_bits=8,lazy_refcounts=on",
                "compat=1.1,cluster_size=65536,refcount_bits=32",
                "compat=1.1,cluster_size=2097152,refcount_bits=64",
                "compat=1.1,cluster_size=16384,extended_l2=on",
                "compat=1.1,cluster_size=65536,extended_l2=on",
                "compat=1.1,cluster_size=2097152,extended_l2=on",
                "compat=1.1,cluster_size=65536,preallocation=metadata",
                "compat=1.1,cluster_size=65536,extended_l2=on,preallocation=metadata"
            })
    void shouldReadWhatWasWritten(String options) throws Exception {
        Path image = create("a.qcow2", options, DISK_BYTES);
        fill(image, DISK_BYTES, 60);
        assertReadsAs(truth(image), TestDisk.options(image));
    }

    @ParameterizedTest
    @CsvSource({
        "zlib,512",
        "zlib,4096",
        "zlib,65536",
        "zlib,2097152",
        "zstd,512",
        "zstd,4096",
        "zstd,65536",
        "zstd,2097152",
        "zstd-extended,65536",
        "zlib-extended,16384"
    })
    void shouldReadCompressedClusters(String type, int clusterBytes) throws Exception {
        Path plain = create("plain.qcow2", "cluster_size=65536", DISK_BYTES);
        fill(plain, DISK_BYTES, 40);
        Path image = directory.resolve("compressed.qcow2");
        String options = "compression_type=" + type.substring(0, 4) + ",cluster_size=" + clusterBytes
                + (type.endsWith("extended") ? ",extended_l2=on" : "");
        Shell.check("qemu-img", "convert", "-c", "-O", "qcow2", "-o", options, plain.toString(), image.toString());
        assertReadsAs(truth(image), TestDisk.options(image));
        fill(image, DISK_BYTES, 20);
        assertReadsAs(truth(image), TestDisk.options(image));
    }

    @ParameterizedTest
    @ValueSource(strings = {"NONE", "DIRECTSYNC", "WRITETHROUGH", "UNSAFE"})
    void shouldReadWithEveryCacheMode(CacheMode mode) throws Exception {
        Path plain = create("plain.qcow2", "cluster_size=512", DISK_BYTES);
        fill(plain, DISK_BYTES, 40);
        Path image = directory.resolve("compressed.qcow2");
        Shell.check(
                "qemu-img", "convert", "-c", "-O", "qcow2", "-o", "cluster_size=4096", plain.toString(), image + "");
        fill(image, DISK_BYTES, 20);
        assertReadsAs(truth(plain), TestDisk.options(plain).withCacheMode(mode));
        assertReadsAs(truth(image), TestDisk.options(image).withCacheMode(mode));
    }

    @ParameterizedTest
    @CsvSource({
        "raw,3145728,65536",
        "raw,1000000,65536",
        "raw,5000000,512",
        "qcow2,1048576,4096",
        "qcow2,6291456,65536",
        "raw,1000000,65536-extended",
        "qcow2,1048576,16384-extended"
    })
    void shouldReadWhatItsBackingFileHas(String format, int backingBytes, String clusters) throws Exception {
        Path base = directory.resolve("base." + format);
        if (format.equals("raw")) {
            byte[] data = new byte[backingBytes];
            random.nextBytes(data);
            Files.write(base, data);
        } else {
            fill(create("base.qcow2", "cluster_size=4096", backingBytes), backingBytes, 40);
        }
        String size = clusters.replace("-extended", "");
        String options = "cluster_size=" + size + ",backing_file=" + base.getFileName() + ",backing_fmt=" + format
                + (clusters.equals(size) ? "" : ",extended_l2=on");
        Path image = create("a.qcow2", options, DISK_BYTES);
        fill(image, DISK_BYTES, 40);
        assertReadsAs(truth(image), TestDisk.options(image));
    }

    @Test
    void shouldFollowChainsOfOverlaysOfEverySize() throws Exception {
        create("0.qcow2", "cluster_size=4096", 2 << 20);
        fill(directory.resolve("0.qcow2"), 2 << 20, 20);
        long[] sizes = {1 << 20, 3 << 20, DISK_BYTES};
        for (int i = 0; i < sizes.length; i++) {
            String options = "cluster_size=" + (4096 << i) + ",backing_fmt=qcow2,backing_file=" + i + ".qcow2";
            fill(create((i + 1) + ".qcow2", options, sizes[i]), sizes[i], 10);
        }
        Path image = directory.resolve("3.qcow2");
        assertReadsAs(truth(image), TestDisk.options(image));
    }

    @ParameterizedTest
    @ValueSource(strings = {"data_file_raw=off", "data_file_raw=on", "data_file_raw=off,extended_l2=on"})
    void shouldReadExternalDataFile(String more) throws Exception {
        Path data = directory.resolve("a.data");
        Path image = create("a.qcow2", "data_file=" + data + "," + more, DISK_BYTES);
        fill(image, DISK_BYTES, 40);
        byte[] truth = truth(image);
        assertReadsAs(truth, TestDisk.options(image));
        if (more.startsWith("data_file_raw=on")) {
            assertThat(Files.readAllBytes(data)).isEqualTo(truth);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"compat=0.10", "compat=1.1", "compat=1.1,extended_l2=on,cluster_size=16384"})
    void shouldReadSnapshotsByIdAndByName(String options) throws Exception {
        Path image = create("a.qcow2", options, DISK_BYTES);
        fill(image, DISK_BYTES, 20);
        byte[] first = truth(image);
        Shell.check("qemu-img", "snapshot", "-c", "first", image.toString());
        fill(image, DISK_BYTES, 20);
        byte[] second = truth(image);
        Shell.check("qemu-img", "snapshot", "-c", "second", image.toString());
        fill(image, DISK_BYTES, 20);
        if (!options.equals("compat=0.10")) {
            Shell.check("qemu-img", "resize", "-q", image.toString(), "4M"); // only version 3 has sizes of snapshots
        }
        assertReadsAs(truth(image), TestDisk.options(image));
        assertReadsAs(first, TestDisk.options(image).withSnapshot("first"));
        assertReadsAs(second, TestDisk.options(image).withSnapshot("2"));
    }

    @RepeatedTest(3)
    void shouldReadRandomImages() throws Exception {
        Path image = directory.resolve("random.qcow2");
        RandomImage.make(image, random);
        assertReadsAs(truth(image), TestDisk.options(image));
    }

    @Test
    void shouldReadThroughTheSmallestCache() throws Exception {
        Path image = create("a.qcow2", "cluster_size=512", DISK_BYTES);
        fill(image, DISK_BYTES, 60);
        assertReadsAs(truth(image), TestDisk.options(image).withL2CacheBytes(1));
    }

    @Test
    void shouldTakeWholeSectorsOfOddSizes() throws Exception {
        Path image = create("a.qcow2", "cluster_size=4096", 1 << 20);
        fill(image, 1 << 20, 20);
        byte[] truth = truth(image);
        try (OfflineFile file = OfflineFile.open(image.toString(), true, false)) {
            byte[] size =
                    ByteBuffer.allocate(Long.BYTES).putLong((1 << 20) - 100).array();
            file.write(size, Qcow2Layout.HEADER_SIZE);
        }
        assertReadsAs(Arrays.copyOf(truth, (1 << 20) - 512), TestDisk.options(image));
    }

    /** Many readers on two loops, and a cache so small that slices come and go under them. */
    @ParameterizedTest
    @ValueSource(strings = {"cluster_size=512", "cluster_size=512,compressed", "cluster_size=16384,extended_l2=on"})
    void shouldReadOnSeveralLoopsAtOnce(String options) throws Exception {
        Path plain = create("a.qcow2", options.replace(",compressed", ""), DISK_BYTES);
        fill(plain, DISK_BYTES, 60);
        Path image = plain;
        if (options.endsWith("compressed")) {
            Path compressed = directory.resolve("c.qcow2");
            Shell.check(
                    "qemu-img", "convert", "-c", "-O", "qcow2", "-o", "cluster_size=4096", plain + "", compressed + "");
            image = compressed;
        }
        byte[] truth = truth(image);
        PlainLoop[] loops = {PlainLoop.withRing(), PlainLoop.withoutRing()};
        BlockOptions small = TestDisk.options(image).withReadOnly(true).withL2CacheBytes(1);
        try (BlockDriver driver = BlockDrivers.open(small);
                BlockChannel first = driver.openChannel(loops[0]);
                BlockChannel second = driver.openChannel(loops[1])) {
            BlockChannel[] channels = {first, second};
            List<Thread> readers = new ArrayList<>();
            List<Throwable> failures = new CopyOnWriteArrayList<>();
            for (int i = 0; i < 8; i++) {
                int loop = i % 2;
                long readerSeed = random.nextLong();
                Thread reader = Thread.ofPlatform()
                        .uncaughtExceptionHandler((thread, failure) -> failures.add(failure))
                        .start(() -> readMuch(channels[loop], loops[loop], truth, readerSeed));
                readers.add(reader);
            }
            for (Thread reader : readers) {
                reader.join();
            }
            assertThat(failures).as("seed %d", seed).isEmpty();
        }
    }

    private static void readMuch(BlockChannel channel, PlainLoop loop, byte[] truth, long readerSeed) {
        Random own = new Random(readerSeed);
        for (int i = 0; i < 400; i++) {
            int length = 512 * (1 + own.nextInt(64));
            int at = 512 * own.nextInt((truth.length - length) / 512 + 1);
            try (TestVector vector = TestVector.random(own, length)) {
                int result = loop.run(() -> channel.readv(at, vector.iov(), vector.count(), length));
                if (result != 0 || !Arrays.equals(vector.get(), 0, length, truth, at, at + length)) {
                    throw new AssertionError(length + " bytes at " + at + ": " + result);
                }
            }
        }
    }
}

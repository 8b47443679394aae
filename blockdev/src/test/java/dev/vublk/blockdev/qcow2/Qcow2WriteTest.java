// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.vublk.blockdev.BlockOpenException;
import dev.vublk.blockdev.BlockOptions.CacheMode;
import dev.vublk.blockdev.BlockOptions.IoEngine;
import dev.vublk.blockdev.file.RandomRequests;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.testing.MountedDirectory;
import dev.vublk.blockdev.testing.PlainLoop;
import dev.vublk.blockdev.testing.Shell;
import dev.vublk.blockdev.testing.TestDisk;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Images in real files, written through the driver; QEMU's programs say what came of it. */
final class Qcow2WriteTest {
    private static final int SIZE_BYTES = 8 << 20;

    @TempDir
    private Path directory;

    @BeforeEach
    void needQemu() {
        Shell.assumeQemuTools();
    }

    private Path create(String options) throws Exception {
        Path image = directory.resolve("image.qcow2");
        Shell.check("qemu-img", "create", "-q", "-f", "qcow2", "-o", options, image.toString(), SIZE_BYTES + "");
        return image;
    }

    private static TestDisk open(Path image) throws BlockOpenException {
        return new TestDisk(TestDisk.options(image), PlainLoop.withRing());
    }

    private static byte[] data(int length, int value) {
        byte[] data = new byte[length];
        Arrays.fill(data, (byte) value);
        return data;
    }

    private static String check(Path image) throws Exception {
        return Shell.run("qemu-img", "check", image.toString()).output();
    }

    @ParameterizedTest
    @CsvSource({
        "WRITEBACK,IO_URING",
        "NONE,IO_URING",
        "DIRECTSYNC,THREADS",
        "WRITETHROUGH,IO_URING",
        "UNSAFE,THREADS",
        "WRITEBACK,AUTO"
    })
    void shouldHoldRandomRequests(CacheMode mode, IoEngine engine) throws Exception {
        long seed = Long.getLong("vublk.qcow2.seed", new Random().nextLong());
        System.out.println("seed " + seed);
        Path image = directory.resolve("random.qcow2");
        Path raw = directory.resolve("random.raw");
        String options = RandomImage.make(image, new Random(seed));
        Shell.check("qemu-img", "convert", "-O", "raw", image.toString(), raw.toString());
        byte[] model = Files.readAllBytes(raw);
        for (int round = 0; round < 2; round++) {
            PlainLoop loop = engine == IoEngine.THREADS ? PlainLoop.withoutRing() : PlainLoop.withRing();
            try (TestDisk disk = new TestDisk(TestDisk.options(image, mode, engine), loop)) {
                new RandomRequests(disk, seed + round, model).run(150);
            }
            Files.write(raw, model);
            // Of bitmaps that are inconsistent now QEMU sees the space as leaked.
            assertThat(check(image)).as("seed %d: %s", seed, options).containsPattern("No errors were found|leaked");
            assertThat(check(image)).as("seed %d: %s", seed, options).doesNotContain("ERROR");
            Shell.check("qemu-img", "compare", "-f", "qcow2", "-F", "raw", image.toString(), raw.toString());
        }
    }

    @Test
    void shouldMakeNoMoreOfTheFileThanIsUsed() throws Exception {
        Path image = create("cluster_size=65536");
        long before = Files.size(image);
        try (TestDisk disk = open(image)) {
            assertThat(disk.write(0, data(65536, 1), false)).isZero();
            assertThat(disk.write(1 << 20, data(512, 2), false)).isZero();
        }
        // An L2 table and two clusters of data.
        assertThat(Files.size(image)).isEqualTo((before + 65535) / 65536 * 65536 + 3 * 65536);
        assertThat(check(image)).contains("No errors were found");
    }

    @Test
    void shouldSurviveAFullFileSystem() throws Exception {
        try (MountedDirectory mount = MountedDirectory.tmpfs(directory, "4m")) {
            Path image = mount.path().resolve("image.qcow2");
            Shell.check("qemu-img", "create", "-q", "-f", "qcow2", image.toString(), "64M");
            byte[] data = data(1 << 18, 7);
            try (TestDisk disk = open(image)) {
                int result = 0;
                int done = 0;
                while (result == 0) {
                    result = disk.write((long) done << 18, data, false);
                    done += result == 0 ? 1 : 0;
                }
                assertThat(result).isEqualTo(-Errno.ENOSPC);
                assertThat(done).isGreaterThan(8);
                for (int i = 0; i < done; i++) {
                    assertThat(disk.read((long) i << 18, 1 << 18)).isEqualTo(data);
                }
                assertThat(disk.discard(0, 1 << 20)).isZero();
                assertThat(disk.flush()).isZero();
                assertThat(disk.write(32 << 20, data, true)).isZero();
                assertThat(disk.read(32 << 20, 1 << 18)).isEqualTo(data);
                assertThat(disk.read(0, 1 << 18)).isEqualTo(data(1 << 18, 0));
            }
            assertThat(check(image)).doesNotContain("ERROR");
        }
    }

    @Test
    void shouldRefuseToDestroyMetadata() throws Exception {
        Path image = create("cluster_size=65536");
        Shell.check("qemu-io", "-c", "write 0 64k", image.toString());
        long l2 = longAt(image, longAt(image, 40) & ~(1L << 63)) & ~(1L << 63);
        putLong(image, l2, 1L << 63 | 65536); // The refcount table, as data.
        try (TestDisk disk = open(image)) {
            assertThat(disk.write(0, data(512, 1), false)).isEqualTo(-Errno.EIO);
            assertThat(disk.write(1 << 20, data(512, 1), false)).isEqualTo(-Errno.EIO);
        }
        assertThat(longAt(image, 72) & 2).as("the corrupt bit").isEqualTo(2);
        assertThatThrownBy(() -> open(image))
                .isInstanceOf(BlockOpenException.class)
                .hasMessageContaining("corrupt");
    }

    private static long longAt(Path image, long offset) throws Exception {
        try (RandomAccessFile file = new RandomAccessFile(image.toFile(), "r")) {
            file.seek(offset);
            return file.readLong();
        }
    }

    private static void putLong(Path image, long offset, long value) throws Exception {
        try (RandomAccessFile file = new RandomAccessFile(image.toFile(), "rw")) {
            file.seek(offset);
            file.writeLong(value);
        }
    }

    @Test
    void shouldDeclareBitmapsInconsistentWithTheFirstWrite() throws Exception {
        Path image = create("cluster_size=65536");
        Shell.check("qemu-img", "bitmap", "--add", image.toString(), "bitmap0");
        try (TestDisk disk = open(image)) {
            assertThat(disk.read(0, 512)).isEqualTo(data(512, 0));
            assertThat(longAt(image, 88)).as("autoclear bits before").isEqualTo(1);
            assertThat(disk.write(0, data(512, 1), false)).isZero();
            assertThat(longAt(image, 88)).as("autoclear bits").isZero();
        }
    }

    @Test
    void shouldBeDirtyWhileRefcountsAreLazy() throws Exception {
        Path image = writeLazily(directory.resolve("killed.qcow2"));
        assertThat(longAt(image, 72) & 1).as("the dirty bit").isZero();
        assertThat(check(image)).contains("No errors were found");
    }

    /** Writes to an image with lazy refcounts and copies it before it is closed. */
    private Path writeLazily(Path copy) throws Exception {
        Path image = create("cluster_size=65536,lazy_refcounts=on");
        try (TestDisk disk = open(image)) {
            assertThat(disk.write(0, data(512, 1), false)).isZero();
            assertThat(longAt(image, 72) & 1).as("the dirty bit").isEqualTo(1);
            Files.copy(image, copy);
        }
        return image;
    }

    @Test
    void shouldRepairAnImageThatIsDirty() throws Exception {
        Path killed = directory.resolve("killed.qcow2");
        writeLazily(killed);
        try (TestDisk disk = open(killed)) {
            assertThat(longAt(killed, 72) & 1).as("the dirty bit").isZero();
            assertThat(disk.read(0, 512)).isEqualTo(data(512, 1));
            assertThat(disk.write(1 << 20, data(512, 3), false)).isZero();
        }
        assertThat(check(killed)).contains("No errors were found");
    }

    @Test
    void shouldComeBackAfterAnotherHostHasWritten() throws Exception {
        Path image = create("cluster_size=65536");
        try (TestDisk disk = open(image)) {
            assertThat(disk.write(0, data(65536, 1), false)).isZero();
            assertThat(disk.flush()).isZero();
            disk.driver.deactivate();

            assertThat(check(image)).contains("No errors were found");
            Shell.check("qemu-io", "-c", "write -P 5 0 64k", "-c", "write -P 6 4M 64k", image.toString());
            disk.driver.activate();

            assertThat(disk.read(0, 65536)).isEqualTo(data(65536, 5));
            assertThat(disk.read(4 << 20, 65536)).isEqualTo(data(65536, 6));
            assertThat(disk.write(1 << 20, data(65536, 7), true)).isZero();
        }
        assertThat(check(image)).contains("No errors were found");
        Shell.check("qemu-io", "-c", "read -P 7 1M 64k", "-c", "read -P 6 4M 64k", image.toString());
    }
}

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
import dev.vublk.blockdev.linux.FileStatus;
import dev.vublk.blockdev.linux.PosixFile;
import dev.vublk.blockdev.testing.Crew;
import dev.vublk.blockdev.testing.LoopDevice;
import dev.vublk.blockdev.testing.MountedDirectory;
import dev.vublk.blockdev.testing.PlainLoop;
import dev.vublk.blockdev.testing.Shell;
import dev.vublk.blockdev.testing.TestDisk;
import dev.vublk.blockdev.testing.TestImages;
import dev.vublk.blockdev.testing.TestVector;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** Host block devices, and files on file systems with large sectors: loop devices, so only as root. */
final class BlockDeviceTest {
    private static final int DISK_BYTES = 4 << 20;

    /** What the host's file system may allot for its list of extents, and counts as the file's. */
    private static final int METADATA_BYTES = 16 << 10;

    @TempDir
    private Path directory;

    private static BlockOptions options(Path image, CacheMode mode, IoEngine engine, int logicalBlockBytes) {
        return BlockOptions.of(image.toString())
                .withCacheMode(mode)
                .withEngine(engine)
                .withLogicalBlockBytes(logicalBlockBytes);
    }

    @ParameterizedTest
    @CsvSource({
        "512,NONE,IO_URING", "512,NONE,THREADS", "512,WRITEBACK,IO_URING",
        "4096,NONE,IO_URING", "4096,NONE,THREADS", "4096,DIRECTSYNC,THREADS",
        "4096,WRITEBACK,IO_URING", "4096,WRITETHROUGH,THREADS"
    })
    void shouldAgreeWithArrayOnDevice(int sectorBytes, CacheMode mode, IoEngine engine) throws Exception {
        try (LoopDevice loop = LoopDevice.create(directory, DISK_BYTES, sectorBytes);
                TestDisk disk = new TestDisk(options(loop.device(), mode, engine, 512), PlainLoop.withRing())) {
            new RandomRequests(disk, System.nanoTime(), new byte[DISK_BYTES]).run(150);
        }
    }

    @ParameterizedTest
    @EnumSource(CacheMode.class)
    void shouldAgreeWithArrayOnFileOfLargeSectors(CacheMode mode) throws Exception {
        try (LoopDevice loop = LoopDevice.create(directory, 32 << 20, 4096);
                MountedDirectory mount = MountedDirectory.ext4(directory, loop.device())) {
            Path image = TestImages.file(mount.path(), DISK_BYTES);
            try (TestDisk disk = new TestDisk(TestDisk.options(image, mode), PlainLoop.withRing())) {
                assertThat(disk.driver.limits().logicalBlockBytes()).isEqualTo(512);
                assertThat(disk.driver.limits().physicalBlockBytes()).isEqualTo(4096);
                RandomRequests requests = new RandomRequests(disk, System.nanoTime(), new byte[DISK_BYTES]);
                requests.run(150);
                assertThat(Files.readAllBytes(image)).isEqualTo(requests.model());
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"512", "4096"})
    void shouldTellLimitsOfDevice(int sectorBytes) throws Exception {
        try (LoopDevice loop = LoopDevice.create(directory, DISK_BYTES, sectorBytes);
                BlockDriver driver = BlockDrivers.open(TestDisk.options(loop.device()))) {
            BlockLimits limits = driver.limits();
            assertThat(limits.sizeBytes()).isEqualTo(DISK_BYTES);
            assertThat(limits.logicalBlockBytes()).isEqualTo(sectorBytes);
            assertThat(limits.physicalBlockBytes()).isGreaterThanOrEqualTo(sectorBytes);
            assertThat(limits.supportsDiscard()).isTrue();
            assertThat(limits.discardGranularityBytes()).isGreaterThanOrEqualTo(sectorBytes);
            assertThat(limits.minIoBytes()).isGreaterThanOrEqualTo(sectorBytes);
        }
    }

    @Test
    void shouldGiveSpaceBackAndZeroInPlace() throws Exception {
        byte[] data = new byte[DISK_BYTES];
        Arrays.fill(data, (byte) 5);
        try (LoopDevice loop = LoopDevice.create(directory, DISK_BYTES, 4096);
                TestDisk disk = new TestDisk(
                        options(loop.device(), CacheMode.NONE, IoEngine.AUTO, 512), PlainLoop.withRing())) {
            assertThat(disk.write(0, data, false)).isZero();
            assertThat(disk.flush()).isZero();
            long full = allocatedBytes(loop.backing());
            assertThat(full).isGreaterThanOrEqualTo(DISK_BYTES);

            assertThat(disk.writeZeroes(512, 1 << 20, false, true)).isZero();
            assertThat(allocatedBytes(loop.backing())).as("zeroed in place").isBetween(full, full + METADATA_BYTES);
            assertThat(disk.writeZeroes(2 << 20, 1 << 20, true, true)).isZero();
            assertThat(allocatedBytes(loop.backing()))
                    .as("unmapped zeroes")
                    .isLessThanOrEqualTo(full - (1 << 20) + METADATA_BYTES);
            assertThat(disk.discard(0, 2 << 20)).isZero();
            assertThat(allocatedBytes(loop.backing()))
                    .as("discarded")
                    .isLessThanOrEqualTo(full - (3 << 20) + METADATA_BYTES);

            assertThat(disk.read(2 << 20, 1 << 20)).isEqualTo(new byte[1 << 20]);
            assertThat(disk.read(3 << 20, 1 << 20)).containsOnly(5);
        }
    }

    @Test
    void shouldRoundDiscardsInwards() throws Exception {
        byte[] data = new byte[16384];
        Arrays.fill(data, (byte) 5);
        try (LoopDevice loop = LoopDevice.create(directory, DISK_BYTES, 4096);
                TestDisk disk = new TestDisk(
                        options(loop.device(), CacheMode.NONE, IoEngine.AUTO, 512), PlainLoop.withRing())) {
            assertThat(disk.write(0, data, false)).isZero();
            assertThat(disk.discard(512, 4096)).as("no whole unit").isZero();
            assertThat(disk.discard(3584, 8192)).as("one whole unit").isZero();
            byte[] now = disk.read(0, 16384);
            assertThat(Arrays.copyOfRange(now, 0, 4096)).containsOnly(5);
            assertThat(Arrays.copyOfRange(now, 8192, 16384)).containsOnly(5);
        }
    }

    @Test
    void shouldKeepNeighboursApartInOneBlock() throws Exception {
        int writerCount = 16;
        int rounds = 60;
        try (LoopDevice loop = LoopDevice.create(directory, DISK_BYTES, 4096);
                BlockDriver driver = BlockDrivers.open(options(loop.device(), CacheMode.NONE, IoEngine.AUTO, 512));
                Crew crew = new Crew()) {
            PlainLoop[] loops = {PlainLoop.withRing(), PlainLoop.withoutRing()};
            BlockChannel[] channels = {driver.openChannel(loops[0]), driver.openChannel(loops[1])};
            // Two blocks of eight sectors; every writer owns one sector, every second one is on the other loop.
            for (int i = 0; i < writerCount; i++) {
                int writer = i;
                crew.run(() -> {
                    for (int round = 1; round <= rounds; round++) {
                        byte[] data = new byte[512];
                        Arrays.fill(data, (byte) round);
                        writeAndReadBack(loops[writer % 2], channels[writer % 2], writer * 512L, data);
                    }
                    return 0;
                });
            }
            crew.join();
            channels[0].close();
            channels[1].close();
        }
    }

    private static void writeAndReadBack(PlainLoop loop, BlockChannel channel, long offsetBytes, byte[] data) {
        try (TestVector vector = TestVector.of(512)) {
            vector.put(data);
            assertThat(loop.run(() -> channel.writev(offsetBytes, vector.iov(), 1, 512, false)))
                    .isZero();
            vector.put(new byte[512]);
            assertThat(loop.run(() -> channel.readv(offsetBytes, vector.iov(), 1, 512)))
                    .isZero();
            assertThat(vector.get()).as("sector at " + offsetBytes).isEqualTo(data);
        }
    }

    @Test
    void shouldRefuseToWriteDirectlyToFileWithPartialLastSector() throws Exception {
        try (LoopDevice loop = LoopDevice.create(directory, 32 << 20, 4096);
                MountedDirectory mount = MountedDirectory.ext4(directory, loop.device())) {
            Path image = TestImages.file(mount.path(), 4096 + 512);
            Files.write(image, "tail".repeat(128 * 9).getBytes(US_ASCII));
            assertThatThrownBy(() -> BlockDrivers.open(TestDisk.options(image, CacheMode.NONE)))
                    .isInstanceOf(BlockOpenException.class)
                    .hasMessageContaining("truncate -s %4096");
            try (TestDisk disk = new TestDisk(TestDisk.readOnly(image, CacheMode.NONE), PlainLoop.withRing())) {
                assertThat(disk.driver.limits().sizeBytes()).isEqualTo(8192);
                assertThat(disk.read(4096, 512)).startsWith('t', 'a', 'i', 'l').endsWith('t', 'a', 'i', 'l');
                assertThat(disk.read(4096 + 512, 3584)).isEqualTo(new byte[3584]);
            }
            try (TestDisk disk = new TestDisk(TestDisk.options(image), PlainLoop.withRing())) {
                assertThat(disk.driver.limits().sizeBytes()).isEqualTo(4608);
            }
        }
    }

    @Test
    void shouldFindQueueOfPartition() throws Exception {
        Shell.assumeProgram("partx");
        try (LoopDevice loop = LoopDevice.create(directory, 16 << 20, 512)) {
            Files.write(loop.backing(), partitionTable(2048, 8192), StandardOpenOption.WRITE);
            Shell.check("partx", "-a", loop.device().toString());
            Path partition = Path.of(loop.device() + "p1");
            try (BlockDriver driver = BlockDrivers.open(TestDisk.options(partition))) {
                assertThat(driver.limits().sizeBytes()).isEqualTo(8192 * 512);
                assertThat(driver.limits().supportsDiscard()).isTrue();
            }
            Shell.check("partx", "-d", loop.device().toString());
        }
    }

    @Test
    void shouldNotWriteToMountedDevice() throws Exception {
        try (LoopDevice loop = LoopDevice.create(directory, 32 << 20, 512)) {
            try (MountedDirectory mount = MountedDirectory.ext4(directory, loop.device())) {
                assertThat(mount.path()).isDirectory();
                assertThatThrownBy(() -> BlockDrivers.open(TestDisk.options(loop.device())))
                        .isInstanceOf(BlockOpenException.class)
                        .hasMessageContaining("in use by this host");
                BlockDrivers.open(TestDisk.readOnly(loop.device(), CacheMode.WRITEBACK))
                        .close();
            }
            BlockDrivers.open(TestDisk.options(loop.device())).close();
        }
    }

    /** A DOS partition table with one partition. */
    private static byte[] partitionTable(int startSector, int sectorCount) {
        return ByteBuffer.allocate(512)
                .order(ByteOrder.LITTLE_ENDIAN)
                .put(450, (byte) 0x83) // type: Linux
                .putInt(454, startSector)
                .putInt(458, sectorCount)
                .putShort(510, (short) 0xaa55)
                .array();
    }

    @Test
    void shouldFindAlignmentOfLargeSectorsByTrial() throws Exception {
        try (LoopDevice small = LoopDevice.create(directory, DISK_BYTES, 512);
                LoopDevice large = LoopDevice.create(directory, DISK_BYTES, 4096)) {
            assertThat(trial(small.device())).isEqualTo(new DirectAlignment(512, 512));
            assertThat(trial(large.device())).isEqualTo(new DirectAlignment(4096, 4096));
        }
    }

    private static DirectAlignment trial(Path image) {
        int fd = PosixFile.open(image.toString(), PosixFile.O_RDONLY | PosixFile.O_DIRECT);
        try {
            return DirectAlignment.byTrialReads(fd);
        } finally {
            PosixFile.close(fd);
        }
    }

    private static long allocatedBytes(Path file) throws Exception {
        return FileStatus.of(file.toString()).allocatedBytes();
    }
}

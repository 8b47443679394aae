// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.BlockLimits;
import dev.vublk.blockdev.BlockOptions;
import dev.vublk.emulator.EmulatorUnderTest;
import dev.vublk.emulator.Guest;
import dev.vublk.emulator.ScriptedDisk;
import dev.vublk.vhostuser.virtqueue.VirtioFeature;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The configuration space (virtio 1.2 section 5.2.4) as GET_CONFIG shows it; offsets are the specification's. */
final class ConfigSpaceTest {
    private static final int DISK_BYTES = 8 << 20;

    @TempDir
    Path directory;

    private ByteBuffer read(EmulatorUnderTest.Setup setup) throws IOException {
        try (EmulatorUnderTest emulator = setup.start();
                Guest guest = Guest.connect(emulator)) {
            // As QEMU (57, 60) and Cloud Hypervisor ask; the pieces agree with the whole.
            byte[] whole = guest.frontend().getConfig(0, 96);
            assertThat(guest.frontend().getConfig(0, 57)).isEqualTo(Arrays.copyOf(whole, 57));
            assertThat(guest.frontend().getConfig(0x100, 60)).isEqualTo(Arrays.copyOf(whole, 60));
            assertThat(guest.frontend().getConfig(20, 4)).isEqualTo(Arrays.copyOfRange(whole, 20, 24));
            return ByteBuffer.wrap(whole).order(ByteOrder.LITTLE_ENDIAN);
        }
    }

    private EmulatorUnderTest.Setup file(boolean readOnly, int blockBytes) throws IOException {
        Path image = directory.resolve("disk.img");
        try (RandomAccessFile file = new RandomAccessFile(image.toFile(), "rw")) {
            file.setLength(DISK_BYTES);
        }
        return new EmulatorUnderTest.Setup(directory)
                .block(BlockOptions.of(image.toString()).withReadOnly(readOnly).withLogicalBlockBytes(blockBytes));
    }

    /** What somebody divides or loops by. */
    private static void checkSane(ByteBuffer config) {
        assertThat(config.getInt(8)).as("size_max").isGreaterThanOrEqualTo(65536);
        assertThat(config.getInt(12)).as("seg_max").isEqualTo(126);
        assertThat(config.getInt(20)).as("blk_size").isPositive();
        assertThat(config.getShort(26)).as("min_io_size").isPositive();
        assertThat(config.getShort(34)).as("num_queues").isEqualTo((short) 64);
        assertThat(config.getInt(36)).as("max_discard_sectors").isPositive();
        assertThat(config.getInt(40)).as("max_discard_seg").isEqualTo(16);
        assertThat(config.getInt(44)).as("discard_sector_alignment").isPositive();
        assertThat(config.getInt(48)).as("max_write_zeroes_sectors").isPositive();
        assertThat(config.getInt(52)).as("max_write_zeroes_seg").isEqualTo(16);
        int blockSectors = config.getInt(20) / 512;
        assertThat(config.getInt(36) % blockSectors).isZero();
        assertThat(config.getInt(48) % blockSectors).isZero();
        assertThat(config.getInt(44) % blockSectors).isZero();
    }

    @Test
    void shouldDescribeAFile() throws IOException {
        ByteBuffer config = read(file(false, 0));
        checkSane(config);
        assertThat(config.getLong(0)).as("capacity").isEqualTo(DISK_BYTES / 512);
        assertThat(config.getInt(20)).as("blk_size").isEqualTo(512);
        assertThat(config.get(32)).as("writeback").isEqualTo((byte) 1);
        assertThat(config.get(56)).as("write_zeroes_may_unmap").isEqualTo((byte) 1);
    }

    @Test
    void shouldDescribeADiskOfLargeBlocks() throws IOException {
        ByteBuffer config = read(file(false, 4096));
        checkSane(config);
        assertThat(config.getLong(0)).as("capacity in sectors of 512").isEqualTo(DISK_BYTES / 512);
        assertThat(config.getInt(20)).as("blk_size").isEqualTo(4096);
        assertThat(config.get(24)).as("physical_block_exp").isZero();
    }

    @Test
    void shouldDescribeAReadOnlyDisk() throws IOException {
        try (EmulatorUnderTest emulator = file(true, 0).start();
                Guest guest = Guest.connect(emulator)) {
            long features = guest.frontend().getFeatures();
            assertThat(features & VirtioBlkSpec.VIRTIO_BLK_F_RO).isNotZero();
            assertThat(features & (VirtioBlkSpec.VIRTIO_BLK_F_DISCARD | VirtioBlkSpec.VIRTIO_BLK_F_WRITE_ZEROES))
                    .isZero();
        }
        checkSane(read(file(true, 0)));
    }

    @Test
    void shouldDescribeANullDisk() throws IOException {
        ByteBuffer config = read(new EmulatorUnderTest.Setup(directory));
        checkSane(config);
        assertThat(config.getLong(0)).isEqualTo((64 << 20) / 512);
    }

    @Test
    void shouldScaleEveryLimit() throws IOException {
        BlockLimits limits = new BlockLimits(
                1 << 20, false, 1024, 8192, 16384, 65536, true, 32768, 40_000, true, 1L << 50, true, true);
        ByteBuffer config = read(new EmulatorUnderTest.Setup(directory).driver(new ScriptedDisk(limits)));
        checkSane(config);
        assertThat(config.getInt(20)).as("blk_size").isEqualTo(1024);
        assertThat(config.get(24)).as("physical_block_exp").isEqualTo((byte) 3);
        assertThat(config.get(25)).as("alignment_offset").isZero();
        assertThat(config.getShort(26)).as("min_io_size in blocks").isEqualTo((short) 16);
        assertThat(config.getInt(28)).as("opt_io_size in blocks").isEqualTo(64);
        assertThat(config.getInt(36)).as("max_discard_sectors").isEqualTo(78);
        assertThat(config.getInt(44)).as("discard_sector_alignment").isEqualTo(64);
        assertThat(config.getInt(48)).as("max_write_zeroes_sectors").isEqualTo(Integer.MAX_VALUE & -2);
    }

    @Test
    void shouldOfferWhatTheDiskAndTheUserAllow() throws IOException {
        VirtioBlkSettings none = new VirtioBlkSettings("", 1, 128, false, 1, false, false, 1);
        try (EmulatorUnderTest emulator =
                        new EmulatorUnderTest.Setup(directory).settings(none).start();
                Guest guest = Guest.connect(emulator)) {
            assertThat(guest.frontend().getFeatures() & VirtioFeature.VIRTIO_F_RING_PACKED)
                    .isZero();
            assertThat(guest.frontend().getFeatures() & 0xffffff)
                    .isEqualTo(1L << 1 | 1L << 2 | 1L << 4 | 1L << 6 | 1L << 9 | 1L << 10 | 1L << 11 | 1L << 12);
            assertThat(guest.frontend().getConfig(56, 1)[0]).as("may_unmap").isZero();
            assertThat(guest.frontend().getQueueNum()).isEqualTo(1);
        }
        try (EmulatorUnderTest emulator = new EmulatorUnderTest.Setup(directory).start();
                Guest guest = Guest.connect(emulator)) {
            assertThat(guest.frontend().getFeatures() & (1L << 13 | 1L << 14 | 1L << 5))
                    .isEqualTo(1L << 13 | 1L << 14);
        }
    }
}

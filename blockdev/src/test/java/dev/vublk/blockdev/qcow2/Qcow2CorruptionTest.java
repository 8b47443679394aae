// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.testing.PlainLoop;
import dev.vublk.blockdev.testing.Shell;
import dev.vublk.blockdev.testing.TestDisk;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Writes to images whose tables would let them destroy other tables: refused, marked, and nothing but the mark is written. */
final class Qcow2CorruptionTest {
    private static final int CLUSTER_BYTES = 512;
    private static final long COPIED = 1L << 63;
    private static final int L1_OFFSET_FIELD = 40;
    private static final int REFCOUNT_TABLE_FIELD = 48;
    private static final int CORRUPT_BIT = 2;

    /** What one L2 table is about. */
    private static final int TABLE_BYTES = CLUSTER_BYTES * CLUSTER_BYTES / 8;

    @TempDir
    private Path directory;

    private Path image;
    private long l1;

    @BeforeEach
    void makeImage() throws Exception {
        Shell.assumeQemuTools();
        image = directory.resolve("image.qcow2");
        Shell.check("qemu-img", "create", "-q", "-f", "qcow2", "-o", "cluster_size=512", image.toString(), "4M");
        Shell.check("qemu-io", "-c", "write -P 1 0 64k", image.toString());
        l1 = longAt(L1_OFFSET_FIELD);
    }

    @Test
    void shouldNotWriteToATableThatIsInNoCluster() throws Exception {
        Shell.check("qemu-img", "create", "-q", "-f", "qcow2", "-o", "cluster_size=4096", image.toString(), "16M");
        Shell.check("qemu-io", "-c", "write -P 1 0 64k", image.toString());
        l1 = longAt(L1_OFFSET_FIELD);
        putLong(l1, longAt(l1) + 512);
        shouldOnlyMark(0);
    }

    @Test
    void shouldNotTakeTheRefcountTableForAnL2Table() throws Exception {
        putLong(l1 + 8, COPIED | longAt(REFCOUNT_TABLE_FIELD));
        shouldOnlyMark(TABLE_BYTES);
    }

    @Test
    void shouldNotTakeARefcountBlockForAnL2Table() throws Exception {
        putLong(l1 + 8, COPIED | longAt(longAt(REFCOUNT_TABLE_FIELD)));
        shouldOnlyMark(TABLE_BYTES);
    }

    @Test
    void shouldNotTakeTheL1TableForAnL2Table() throws Exception {
        putLong(l1 + 8, COPIED | l1);
        shouldOnlyMark(TABLE_BYTES);
    }

    @Test
    void shouldNotWriteToATableThatTwoEntriesName() throws Exception {
        putLong(l1 + 8, longAt(l1));
        shouldOnlyMark(TABLE_BYTES);
    }

    /** A table that is elsewhere again and again, where the next refcount block or table would go. */
    @Test
    void shouldNotPutRefcountsWhereAnEntryNamesATable() throws Exception {
        long end = Files.size(image);
        int perBlock = CLUSTER_BYTES / 2;
        long nextBlock = (end / CLUSTER_BYTES / perBlock + 1) * perBlock * CLUSTER_BYTES;
        putLong(l1 + 8, COPIED | nextBlock);
        try (TestDisk disk = new TestDisk(TestDisk.options(image), PlainLoop.withRing())) {
            int result = 0;
            for (int at = 3 * TABLE_BYTES; at < 4 << 20 && result == 0; at += CLUSTER_BYTES) {
                result = disk.write(at, bytes(7), false);
            }
            assertThat(result).isEqualTo(-Errno.EIO);
            assertThat(disk.write(0, bytes(7), false)).isEqualTo(-Errno.EIO);
        }
        assertThat(longAt(72) & CORRUPT_BIT).isEqualTo(CORRUPT_BIT);
        assertThat(longAt(longAt(REFCOUNT_TABLE_FIELD) + 8L * (nextBlock / CLUSTER_BYTES / perBlock)))
                .isZero();
    }

    /** A compressed cluster that is given back may say that it reaches over anything. */
    @Test
    void shouldNotGiveBackMetadataWithACompressedCluster() throws Exception {
        long table = longAt(l1) & ~COPIED;
        int shift = 62 - (9 - 8);
        long sectors = 1; // two sectors: it ends in the cluster behind the one that it begins in
        long block = longAt(longAt(REFCOUNT_TABLE_FIELD));
        long before = block - CLUSTER_BYTES;
        putLong(table, 1L << 62 | sectors << shift | (before + 1));
        byte[] content = bytesAt(block);
        try (TestDisk disk = new TestDisk(TestDisk.options(image), PlainLoop.withRing())) {
            assertThat(disk.discard(0, CLUSTER_BYTES)).isZero();
            assertThat(disk.flush()).isZero();
        }
        assertThat(bytesAt(block)).isEqualTo(content);
        assertThat(longAt(72) & CORRUPT_BIT).as("the corrupt bit").isEqualTo(CORRUPT_BIT);
    }

    /** A write there fails, and so does one elsewhere from then on; the file is as it was, but for the mark. */
    private void shouldOnlyMark(long offset) throws Exception {
        byte[] before = Files.readAllBytes(image);
        try (TestDisk disk = new TestDisk(TestDisk.options(image), PlainLoop.withRing())) {
            assertThat(disk.write(offset, bytes(7), false)).isEqualTo(-Errno.EIO);
            assertThat(disk.write(2L * TABLE_BYTES, bytes(7), false)).isEqualTo(-Errno.EIO);
            assertThat(disk.discard(offset, 4096)).isEqualTo(-Errno.EIO);
        }
        byte[] after = Files.readAllBytes(image);
        assertThat(longAt(72) & CORRUPT_BIT).as("the corrupt bit").isEqualTo(CORRUPT_BIT);
        before[79] |= CORRUPT_BIT;
        assertThat(after).isEqualTo(before);
    }

    private static byte[] bytes(int value) {
        byte[] bytes = new byte[CLUSTER_BYTES];
        Arrays.fill(bytes, (byte) value);
        return bytes;
    }

    private long longAt(long offset) throws Exception {
        try (RandomAccessFile file = new RandomAccessFile(image.toFile(), "r")) {
            file.seek(offset);
            return file.readLong();
        }
    }

    private byte[] bytesAt(long offset) throws Exception {
        return Arrays.copyOfRange(Files.readAllBytes(image), (int) offset, (int) offset + CLUSTER_BYTES);
    }

    private void putLong(long offset, long value) throws Exception {
        try (RandomAccessFile file = new RandomAccessFile(image.toFile(), "rw")) {
            file.seek(offset);
            file.writeLong(value);
        }
    }
}

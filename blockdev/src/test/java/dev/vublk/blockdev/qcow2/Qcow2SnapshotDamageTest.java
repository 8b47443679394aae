// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.vublk.blockdev.BlockOpenException;
import dev.vublk.blockdev.file.OfflineFile;
import dev.vublk.blockdev.testing.PlainLoop;
import dev.vublk.blockdev.testing.Shell;
import dev.vublk.blockdev.testing.TestDisk;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Snapshot tables that make no sense: a check says so, and ends. */
final class Qcow2SnapshotDamageTest {
    private static final int SNAPSHOT_COUNT_FIELD = 60;
    private static final int SNAPSHOTS_OFFSET_FIELD = 64;
    private static final int L1_SIZE_OF_ENTRY = 8;
    private static final int NAME_BYTES_OF_ENTRY = 14;
    private static final int EXTRA_BYTES_OF_ENTRY = 36;
    private static final int L1_SIZE_MAX = 1 << 22;

    @TempDir
    private Path directory;

    private Path image;
    private long table;

    @BeforeEach
    void makeImage() throws Exception {
        Shell.assumeQemuTools();
        image = directory.resolve("image.qcow2");
        Shell.check("qemu-img", "create", "-q", "-f", "qcow2", image.toString(), "8M");
        Shell.check("qemu-io", "-c", "write -P 1 0 64k", image.toString());
        Shell.check("qemu-img", "snapshot", "-c", "before", image.toString());
        try (RandomAccessFile file = new RandomAccessFile(image.toFile(), "r")) {
            file.seek(SNAPSHOTS_OFFSET_FIELD);
            table = file.readLong();
        }
    }

    private void put(long offset, byte[] bytes) throws IOException {
        try (RandomAccessFile file = new RandomAccessFile(image.toFile(), "rw")) {
            file.seek(offset);
            file.write(bytes);
        }
    }

    private static byte[] number(long value) {
        return ByteBuffer.allocate(8).putLong(value).array();
    }

    private static byte[] number(int value) {
        return ByteBuffer.allocate(4).putInt(value).array();
    }

    private List<String> findings() throws IOException {
        List<String> findings = new ArrayList<>();
        try (OfflineFile file = OfflineFile.open(image.toString(), false, false)) {
            Qcow2Check.run(file, findings::add);
        }
        return findings;
    }

    private void shouldRefuse(String why) {
        assertThatThrownBy(this::findings)
                .isInstanceOf(IOException.class)
                .hasMessageContaining(why)
                .hasMessageNotContaining("\n");
        assertThatThrownBy(() -> {
                    try (OfflineFile file = OfflineFile.open(image.toString(), true, false)) {
                        Qcow2Repair.run(file, Qcow2Repair.Mode.ALL, finding -> {});
                    }
                })
                .isInstanceOf(IOException.class)
                .hasMessageContaining(why);
    }

    @Test
    void shouldSayThatTheTableIsBehindTheEndOfTheFile() throws Exception {
        put(SNAPSHOTS_OFFSET_FIELD, number(1L << 40));
        shouldRefuse("the snapshot table ends after 0 of 1 snapshots");
    }

    @Test
    void shouldSayThatEntriesAreBehindTheEndOfTheFile() throws Exception {
        put(SNAPSHOT_COUNT_FIELD, number(65536));
        shouldRefuse("of 65536 snapshots");
    }

    @Test
    void shouldSayThatThereIsTooMuchExtraData() throws Exception {
        put(table + EXTRA_BYTES_OF_ENTRY, number(-1));
        shouldRefuse("too much extra data");
    }

    @Test
    void shouldSayThatAnEntryIsIncomplete() throws Exception {
        put(table + EXTRA_BYTES_OF_ENTRY, number(0));
        assertThat(findings()).anyMatch(finding -> finding.contains("snapshot table entry 0 is incomplete"));
    }

    @Test
    void shouldSayThatATableIsInNoCluster() throws Exception {
        put(table, number(513L));
        assertThat(findings()).anyMatch(finding -> finding.contains("0x201 is not where a cluster begins"));
        shouldNotServe();
    }

    @Test
    void shouldSayThatATableIsTooLarge() throws Exception {
        put(table + L1_SIZE_OF_ENTRY, number(-1));
        assertThat(findings()).anyMatch(finding -> finding.contains("too large"));
        shouldNotServe();
    }

    private void shouldNotServe() {
        assertThatThrownBy(() -> {
                    try (TestDisk disk = new TestDisk(
                            TestDisk.options(image).withReadOnly(true).withSnapshot("before"), PlainLoop.withRing())) {
                        assertThat(disk).isNull();
                    }
                })
                .isInstanceOf(BlockOpenException.class)
                .hasMessageContaining("before");
    }

    @Test
    void shouldReadNamesThatGoOnBehindTheEndOfTheFile() throws Exception {
        put(table + NAME_BYTES_OF_ENTRY, new byte[] {-1, -1});
        try (OfflineFile file = OfflineFile.open(image.toString(), false, false)) {
            assertThat(SnapshotTable.read(file, Qcow2Check.readHeader(file)).entries())
                    .hasSize(1);
        }
    }

    /** 65536 snapshots with one L1 table of 32 MiB in a hole: 2 TiB to read, if nothing bounded it. */
    @Test
    void shouldNotWalkOneTableForEverySnapshot() throws Exception {
        int count = 65536;
        ByteBuffer entries = ByteBuffer.allocate(40 * count);
        for (int i = 0; i < count; i++) {
            entries.putLong(40 * i, 1 << 24).putInt(40 * i + L1_SIZE_OF_ENTRY, L1_SIZE_MAX);
        }
        put(1 << 26, entries.array());
        put(SNAPSHOTS_OFFSET_FIELD, number(1L << 26));
        put(SNAPSHOT_COUNT_FIELD, number(count));
        shouldRefuse("tables overlap so often that it cannot be checked");
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static dev.vublk.blockdev.qcow2.Qcow2Layout.*;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.vublk.blockdev.file.OfflineFile;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * A check's work is bounded by the size of the file, however often a made-up image names the same tables.
 *
 * <pre>
 *   cluster   0 header | 1 refcount table | 2 refcount block | 3 L1 | 4 L2 | 5 snapshots
 * </pre>
 */
class WalkBoundsTest {
    private static final int CLUSTER_BITS = 16;
    private static final int CLUSTERS = 6;
    private static final int L1_ENTRIES = (1 << CLUSTER_BITS) / L1_ENTRY_BYTES;
    private static final int SNAPSHOT_BYTES = SNAPSHOT_HEADER_BYTES + 16;

    @TempDir
    private Path directory;

    private static int cluster(int number) {
        return number << CLUSTER_BITS;
    }

    private static ByteBuffer image(int snapshotCount) {
        ByteBuffer file = ByteBuffer.allocate(cluster(CLUSTERS));
        file.put(Qcow2Header.newImage(1L << 30)
                .version(VERSION_3)
                .clusterBits(CLUSTER_BITS)
                .l1Table(cluster(3), L1_ENTRIES)
                .refcountTable(cluster(1), 1)
                .snapshots(cluster(5), snapshotCount)
                .build()
                .encode());
        return file;
    }

    private Qcow2CheckResult check(ByteBuffer content) throws IOException {
        Path image = directory.resolve("made-up.qcow2");
        byte[] bytes = new byte[content.capacity()];
        content.get(0, bytes);
        Files.write(image, bytes);
        try (OfflineFile file = OfflineFile.open(image.toString(), false, false)) {
            return Qcow2Check.run(file, finding -> {});
        }
    }

    @Test
    void shouldRefuseAnL1TableThatNamesOneL2TableAgainAndAgain() {
        ByteBuffer image = image(0);
        for (int i = 0; i < L1_ENTRIES; i++) {
            image.putLong(cluster(3) + i * L1_ENTRY_BYTES, cluster(4));
        }
        assertThatThrownBy(() -> check(image))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("names more L2 tables than there are");
    }

    /** One that is merely damaged is judged. */
    @Test
    void shouldCheckAnL1TableThatNamesOneL2TableTwice() throws IOException {
        ByteBuffer image = image(0);
        image.putLong(cluster(3), cluster(4)).putLong(cluster(3) + L1_ENTRY_BYTES, cluster(4));
        assertThat(check(image).corruptions()).isPositive();
    }

    @Test
    void shouldRefuseSnapshotsThatShareAnL1Table() {
        int count = 200;
        ByteBuffer image = image(count);
        for (int i = 0; i < count; i++) {
            int at = cluster(5) + i * SNAPSHOT_BYTES;
            image.putLong(at, cluster(3)).putInt(at + 8, L1_ENTRIES).putInt(at + 36, 16);
        }
        assertThatThrownBy(() -> check(image)).isInstanceOf(IOException.class).hasMessageContaining("overlap so often");
    }

    /** Four billion entries, as far as the image says: all behind the end of the file. */
    @Test
    void shouldNotLookAtEntriesBehindTheEnd() throws IOException {
        ByteBuffer image = image(1);
        int at = cluster(5);
        image.putLong(at, 1L << 40)
                .putInt(at + 8, L1_MAX_BYTES / L1_ENTRY_BYTES)
                .putInt(at + 36, 16);
        assertThat(check(image).corruptions()).isPositive();
        long end = image.capacity();
        WalkBounds bounds = new WalkBounds("made-up", end, 1 << CLUSTER_BITS);
        assertThat(bounds.enterTable(1L << 40, 1L << 35)).isZero();
        assertThat(bounds.enterTable(end - 12, 1L << 20)).isEqualTo(16);
        assertThat(bounds.enterL2Table(end)).isFalse();
        assertThat(bounds.enterL2Table(end - 1)).isTrue();
    }
}

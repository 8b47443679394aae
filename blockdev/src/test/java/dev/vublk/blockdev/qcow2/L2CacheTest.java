// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.testing.Crew;
import dev.vublk.blockdev.testing.Shell;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class L2CacheTest {
    private static final int TABLES = 10_000;
    private static final long OLD_TABLE = 1 << 12;
    private static final long NEW_TABLE = 1 << 13 | Qcow2Layout.OFLAG_COPIED;

    @TempDir
    Path directory;

    /** A writer on another loop would change entries in the table that snapshots share. */
    @Test
    void shouldPinNothingOfTheOldTableOnceTheNewOneIsSeen() throws Exception {
        Shell.assumeProgram("qemu-img");
        Path image = directory.resolve("image.qcow2");
        Shell.check("qemu-img", "create", "-q", "-f", "qcow2", "-o", "cluster_size=4096", image.toString(), "1M");
        ByteBuffer head = ByteBuffer.wrap(Files.readAllBytes(image)).limit(4096);
        Qcow2Header header = Qcow2Header.decode(head, "image");
        MetadataFile file = VolatileFile.of(image, 1).blocking();
        long[] entries = new long[TABLES];
        Arrays.fill(entries, OLD_TABLE);
        L1Table l1 = new L1Table(0, entries);
        L2Cache cache = new L2Cache(header, l1, 1 << 20);
        long tableBytes = cache.tableEnd(0);
        AtomicInteger loaded = new AtomicInteger(-1);
        AtomicInteger looked = new AtomicInteger(-1);
        try (Crew crew = new Crew()) {
            Future<Integer> found = crew.start(() -> {
                int old = 0;
                for (int i = 0; i < TABLES; i++) {
                    while (loaded.get() < i || (l1.get(i) & Qcow2Layout.OFLAG_COPIED) == 0) {
                        Thread.onSpinWait();
                    }
                    L2Slice slice = cache.pin(i * tableBytes);
                    if (slice != null) {
                        old++;
                        cache.unpin(slice);
                    }
                    looked.set(i);
                }
                return old;
            });
            for (int i = 0; i < TABLES; i++) {
                assertThat(cache.load(file, i * tableBytes)).isZero();
                loaded.set(i);
                cache.moveTable(i, NEW_TABLE);
                while (looked.get() < i) {
                    Thread.onSpinWait();
                }
            }
            assertThat(Crew.result(found)).isZero();
        }
    }

    /** Each within its own bound, many caches would fill the heap. */
    @Test
    void shouldStayWithinWhatAllCachesHaveTogether() throws Exception {
        Shell.assumeProgram("qemu-img");
        Path image = directory.resolve("image.qcow2");
        Shell.check("qemu-img", "create", "-q", "-f", "qcow2", "-o", "cluster_size=4096", image.toString(), "1M");
        Qcow2Header header =
                Qcow2Header.decode(ByteBuffer.wrap(Files.readAllBytes(image)).limit(4096), "image");
        MetadataFile file = VolatileFile.of(image, 1).blocking();
        long[] entries = new long[TABLES];
        Arrays.fill(entries, OLD_TABLE);
        L1Table l1 = new L1Table(0, entries);
        L2Memory memory = new L2Memory(1 << 20);
        L2Cache first = new L2Cache(header, l1, 1L << 30, memory);
        for (int i = 0; i < TABLES; i++) {
            assertThat(first.load(file, i * first.tableEnd(0))).isZero();
        }
        assertThat(memory.usedBytes()).isBetween(1L << 19, (1L << 20) + 8192);
        L2Cache second = new L2Cache(header, l1, 1L << 30, memory);

        for (int i = 0; i < TABLES; i++) {
            assertThat(second.load(file, i * second.tableEnd(0))).isZero();
            assertThat(second.find(i * second.tableEnd(0))).isNotNull();
        }

        assertThat(memory.usedBytes()).isLessThan((1L << 20) + 32 * 8192);
        first.clear();
        second.clear();
        assertThat(memory.usedBytes()).isZero();
    }
}

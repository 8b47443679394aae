// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.blockdev.linux.PosixFile;
import dev.vublk.blockdev.testing.Shell;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.NavigableSet;
import java.util.Random;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ClusterAllocatorTest {
    private static final Pattern LEAK = Pattern.compile("Leaked cluster (\\d+) refcount=1 reference=0");

    @TempDir
    Path directory;

    @BeforeEach
    void needQemuImg() {
        Shell.assumeProgram("qemu-img");
    }

    /** An image whose refcounts are open, without a driver. */
    private static final class Opened implements AutoCloseable {
        final Qcow2Header header;
        final ClusterAllocator allocator;
        final BlockingMetadataFile file;
        private final int fd;

        Opened(Path image) throws Exception {
            fd = PosixFile.open(image.toString(), PosixFile.O_RDWR);
            file = new BlockingMetadataFile(fd, false, true);
            try (FileChannel channel = FileChannel.open(image)) {
                ByteBuffer head = ByteBuffer.allocate(1 << 16);
                channel.read(head, 0);
                head.flip();
                header = Qcow2Header.decode(
                        head.limit(Math.min(head.limit(), Qcow2Header.clusterBytes(head, "image"))), "image");
                ByteBuffer table = ByteBuffer.allocate(header.refcountTableClusters() << header.clusterBits());
                channel.read(table, header.refcountTableOffset());
                table.clear();
                long[] offsets = new long[table.capacity() / 8];
                table.asLongBuffer().get(offsets);
                MetadataClusters metadata = new MetadataClusters();
                HeaderUpdate update = new HeaderUpdate(header);
                allocator = new ClusterAllocator(
                        "image",
                        header,
                        new RefcountTable(header, offsets, metadata),
                        metadata,
                        update,
                        new ImageCorruption("image", update),
                        channel.size(),
                        false);
            }
        }

        @Override
        public void close() {
            allocator.release(file);
            allocator.close();
            PosixFile.close(fd);
        }
    }

    private Path image(int clusterBytes, int refcountBits) throws Exception {
        Path image = directory.resolve("image.qcow2");
        String options = "cluster_size=" + clusterBytes + ",refcount_bits=" + refcountBits;
        Shell.check("qemu-img", "create", "-q", "-f", "qcow2", "-o", options, image.toString(), "64M");
        return image;
    }

    /** Allocates and frees at random; QEMU must call leaked exactly what is allocated. */
    @ParameterizedTest
    @CsvSource({
        "512,1",
        "512,2",
        "512,4",
        "512,8",
        "512,16",
        "512,32",
        "512,64",
        "4096,1",
        "4096,16",
        "4096,64",
        "65536,16",
        "65536,64",
        "2097152,16"
    })
    void shouldCountWhatIsAllocated(int clusterBytes, int refcountBits) throws Exception {
        Path image = image(clusterBytes, refcountBits);
        long seed = Long.getLong("vublk.qcow2.seed", new Random().nextLong());
        System.out.println("seed " + seed);
        Random random = new Random(seed);
        TreeSet<Long> allocated = new TreeSet<>();
        for (int round = 0; round < 4; round++) {
            try (Opened opened = new Opened(image)) {
                for (int i = 0; i < 300; i++) {
                    allocateOrFree(opened, random, allocated);
                }
            }
            assertThat(leaks(image)).as("seed %d", seed).isEqualTo(allocated);
        }
        try (Opened opened = new Opened(image)) {
            for (long cluster : allocated) {
                free(opened, cluster, 1, false);
            }
        }
        assertThat(Shell.check("qemu-img", "check", image.toString())).contains("No errors were found");
    }

    private static void allocateOrFree(Opened opened, Random random, NavigableSet<Long> allocated) {
        if (random.nextInt(3) > 0 || allocated.isEmpty()) {
            ClusterRun run = new ClusterRun();
            assertThat(opened.allocator.allocate(opened.file, 1 + random.nextInt(40), run))
                    .isZero();
            for (long cluster = run.cluster; cluster < run.cluster + run.count; cluster++) {
                assertThat(allocated.add(cluster))
                        .as("cluster %d is free", cluster)
                        .isTrue();
                assertThat(isZero(opened, cluster))
                        .as("cluster %d is zero", cluster)
                        .isTrue();
            }
            dirty(opened, run);
        } else {
            long cluster = new ArrayList<>(allocated).get(random.nextInt(allocated.size()));
            allocated.remove(cluster);
            free(opened, cluster, 1, random.nextBoolean());
        }
    }

    private static void free(Opened opened, long cluster, long count, boolean discard) {
        FreedRuns runs = new FreedRuns();
        runs.add(cluster, count, discard);
        opened.allocator.free(opened.file, runs, true);
    }

    private static void dirty(Opened opened, ClusterRun run) {
        long buffer = NativeMemory.allocateZeroed(512);
        NativeMemory.putLong(buffer, -1);
        for (long cluster = run.cluster; cluster < run.cluster + run.count; cluster++) {
            opened.file.write(cluster << opened.header.clusterBits(), buffer, 512, false);
        }
        NativeMemory.free(buffer);
    }

    private static boolean isZero(Opened opened, long cluster) {
        int bytes = Math.min(4096, opened.header.clusterBytes()); // More than dirty ever fills.
        long buffer = NativeMemory.allocate(bytes);
        try {
            opened.file.read(cluster << opened.header.clusterBits(), buffer, bytes);
            for (int i = 0; i < bytes; i += 8) {
                if (NativeMemory.getLong(buffer + i) != 0) {
                    return false;
                }
            }
            return true;
        } finally {
            NativeMemory.free(buffer);
        }
    }

    private static NavigableSet<Long> leaks(Path image) throws Exception {
        Shell.Result check = Shell.run("qemu-img", "check", image.toString());
        assertThat(check.exitCode()).as(check.output()).isIn(0, 3);
        assertThat(check.output()).doesNotContain("ERROR");
        TreeSet<Long> leaks = new TreeSet<>();
        for (Matcher leak = LEAK.matcher(check.output()); leak.find(); ) {
            leaks.add(Long.valueOf(leak.group(1)));
        }
        return leaks;
    }

    @Test
    void shouldMoveTheRefcountTableWhenItIsFull() throws Exception {
        Path image = image(512, 64); // A table of one cluster counts 64 blocks of 64 clusters: 2 MiB.
        List<ClusterRun> runs = new ArrayList<>();
        try (Opened opened = new Opened(image)) {
            for (long clusters = 0; clusters < 30_000; ) {
                ClusterRun run = new ClusterRun();
                assertThat(opened.allocator.allocate(opened.file, 1000, run)).isZero();
                clusters += run.count;
                runs.add(run);
            }
        }
        long allocated = runs.stream().mapToLong(run -> run.count).sum();
        assertThat(leaks(image)).hasSize((int) allocated);
        try (Opened opened = new Opened(image)) {
            assertThat(opened.header.refcountTableClusters()).isGreaterThan(1);
            runs.forEach(run -> free(opened, run.cluster, run.count, true));
        }
        assertThat(Shell.check("qemu-img", "check", image.toString())).contains("No errors were found");
    }

    @Test
    void shouldRefuseARefcountThatOverflows() throws Exception {
        Path image = image(65536, 1);
        try (Opened opened = new Opened(image)) {
            ClusterRun run = new ClusterRun();
            opened.allocator.allocate(opened.file, 1, run);

            assertThat(opened.allocator.share(opened.file, run.cluster, 1)).isEqualTo(-Errno.EOVERFLOW);

            assertThat(opened.allocator.refcount(opened.file, run.cluster)).isEqualTo(1);
        }
    }

    @Test
    void shouldMarkAnImageCorruptWhereMetadataCountsAsFree() throws Exception {
        Path image = image(65536, 16);
        try (RandomAccessFile file = new RandomAccessFile(image.toFile(), "rw")) {
            file.seek(2 * 65536); // The header's refcount, in the one block.
            file.writeShort(0);
        }
        try (Opened opened = new Opened(image)) {
            assertThat(opened.allocator.allocate(opened.file, 1, new ClusterRun()))
                    .isEqualTo(-Errno.EIO);
        }
        assertThat(Shell.check("qemu-img", "info", image.toString())).contains("corrupt: true");
    }

    @Test
    void shouldMarkAnImageCorruptRatherThanGiveMetadataBack() throws Exception {
        Path image = image(65536, 16);
        try (Opened opened = new Opened(image)) {
            free(opened, 0, 1, true); // The header.

            assertThat(opened.allocator.refcount(opened.file, 0)).isEqualTo(1);
        }
        assertThat(Shell.check("qemu-img", "info", image.toString())).contains("corrupt: true");
    }
}

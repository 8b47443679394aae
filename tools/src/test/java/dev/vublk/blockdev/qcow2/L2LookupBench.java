// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static java.util.Objects.requireNonNull;

import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.BlockingIoContext;
import dev.vublk.blockdev.ImageType;
import dev.vublk.blockdev.file.ContainerChannel;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;
import org.openjdk.jmh.profile.GCProfiler;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.OptionsBuilder;

/** What it costs to find where 4 KiB of a disk stand, when the tables are in memory; its classes are open to their package only. */
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 3, time = 1)
@Fork(1)
public class L2LookupBench {
    private static final int CLUSTER_BITS = 16;
    private static final int L1_ENTRIES = 8;
    private static final int REQUEST_BYTES = 4096;

    /** An image all of whose clusters are allocated, one after the other; in a file that is mostly a hole. */
    @State(Scope.Thread)
    public static class Image {
        @Param({"false", "true"})
        boolean subclusters;

        final MappedRun run = new MappedRun();

        @Nullable
        ClusterMap map;

        @Nullable
        MetadataFile file;

        long diskBytes;
        long offset;

        private @Nullable Path path;
        private @Nullable Qcow2Driver driver;
        private @Nullable ContainerChannel channel;

        @Setup
        public void open() throws IOException {
            path = Files.createTempFile("l2-lookup", ".qcow2");
            Qcow2Header header = header();
            diskBytes = header.sizeBytes();
            ByteBuffer bytes = ByteBuffer.allocate((2 + L1_ENTRIES) << CLUSTER_BITS);
            bytes.put(header.encode());
            long data = (2L + L1_ENTRIES) << CLUSTER_BITS;
            for (int table = 0; table < L1_ENTRIES; table++) {
                long offsetBytes = (2L + table) << CLUSTER_BITS;
                bytes.putLong((1 << CLUSTER_BITS) + 8 * table, offsetBytes | Qcow2Layout.OFLAG_COPIED);
                for (int at = 0; at < 1 << CLUSTER_BITS; at += header.l2EntryBytes()) {
                    bytes.putLong((int) offsetBytes + at, data | Qcow2Layout.OFLAG_COPIED);
                    if (subclusters) {
                        bytes.putLong((int) offsetBytes + at + 8, Qcow2Layout.SUBCLUSTERS_ALLOCATED);
                    }
                    data += 1 << CLUSTER_BITS;
                }
            }
            Files.write(path, bytes.array());
            driver = Qcow2Driver.open(
                    BlockOptions.of(path.toString()).withType(ImageType.QCOW2).withReadOnly(true));
            channel = driver.image().file.openBlockingChannel();
            map = driver.image().map;
            file = new ChannelMetadataFile(channel, new BlockingIoContext());
        }

        private Qcow2Header header() {
            Qcow2Header.Builder header = Qcow2Header.newImage(0)
                    .clusterBits(CLUSTER_BITS)
                    .l1Table(1 << CLUSTER_BITS, L1_ENTRIES)
                    .incompatible(subclusters ? Qcow2Layout.INCOMPATIBLE_EXTENDED_L2 : 0);
            long covered = header.build().l1EntryCoverageBytes();
            return header.sizeBytes(L1_ENTRIES * covered).build();
        }

        @TearDown
        public void close() throws IOException {
            requireNonNull(channel, "channel").close();
            requireNonNull(driver, "driver").close();
            Files.delete(requireNonNull(path, "path"));
        }
    }

    /** Another place each time, all over the disk. */
    @Benchmark
    public long find(Image image) {
        // A full period of a linear congruence: as good as random here, and costs a nanosecond.
        image.offset = (image.offset * 6364136223846793005L + 1442695040888963407L) & (image.diskBytes - 1);
        long offset = image.offset & -REQUEST_BYTES;
        int result = requireNonNull(image.map, "map")
                .find(requireNonNull(image.file, "file"), offset, REQUEST_BYTES, image.run);
        if (result != 0) {
            throw new IllegalStateException("not found");
        }
        return image.run.hostOffset;
    }

    public static void main(String[] arguments) throws RunnerException {
        new Runner(new OptionsBuilder()
                        .include(L2LookupBench.class.getSimpleName())
                        .addProfiler(GCProfiler.class)
                        .build())
                .run();
    }
}

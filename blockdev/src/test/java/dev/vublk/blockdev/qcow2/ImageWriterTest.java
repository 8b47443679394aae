// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.qcow2.WriteWorld.DataFile;
import dev.vublk.blockdev.qcow2.WriteWorld.Kind;
import java.nio.file.Path;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Random requests from several loops, on images of every kind, closed and opened again. */
class ImageWriterTest {
    @TempDir
    Path directory;

    static Stream<Kind> kinds() {
        return Stream.of(
                new Kind("cluster_size=65536", 8 << 20, false, false),
                new Kind("cluster_size=65536", 8 << 20, true, true),
                new Kind("cluster_size=65536,compat=0.10", 8 << 20, false, true),
                new Kind("cluster_size=65536,compat=0.10", 8 << 20, true, true),
                new Kind("cluster_size=512", (1 << 20) + 1536, false, true),
                new Kind("cluster_size=512,refcount_bits=1,compat=1.1", 1 << 20, true, true),
                new Kind("cluster_size=512,refcount_bits=64", 1 << 20, true, true),
                new Kind("cluster_size=4096,refcount_bits=4,compat=1.1", (4 << 20) + 512, true, true),
                new Kind("cluster_size=4096,refcount_bits=8,lazy_refcounts=on", 4 << 20, false, true),
                new Kind("cluster_size=2097152", 12 << 20, false, true),
                new Kind("cluster_size=2097152", (12 << 20) - 512, true, true),
                new Kind("cluster_size=16384,extended_l2=on", 4 << 20, false, true),
                new Kind("cluster_size=16384,extended_l2=on", (4 << 20) + 512, true, true),
                new Kind("cluster_size=65536,extended_l2=on,refcount_bits=32", 8 << 20, true, true),
                new Kind("cluster_size=65536", 8 << 20, false, false, DataFile.PLAIN),
                new Kind("cluster_size=65536", 8 << 20, true, true, DataFile.PLAIN),
                new Kind("cluster_size=65536", 8 << 20, false, true, DataFile.RAW),
                new Kind("cluster_size=16384,extended_l2=on", 4 << 20, true, true, DataFile.PLAIN),
                new Kind("cluster_size=16384,extended_l2=on", 4 << 20, false, true, DataFile.RAW));
    }

    @ParameterizedTest
    @MethodSource("kinds")
    void shouldHoldWhatWasWritten(Kind kind) throws Exception {
        long seed = Long.getLong("vublk.qcow2.seed", new Random().nextLong());
        System.out.println("seed " + seed);
        WriteWorld world = new WriteWorld(directory, kind, seed);
        for (int round = 0; round < 3; round++) {
            world.open(round == 0 ? 1 << 20 : 0);
            world.run(2, 6, 60);
            world.close();
            Path dump = world.dump();
            assertThat(world.check(dump, true)).as("seed %d", seed).isEmpty();
            assertThat(world.compare(dump, world.model.promises(false)))
                    .as("seed %d", seed)
                    .isEmpty();
            if (kind.dataFile() == DataFile.RAW) {
                assertThat(world.compareData()).as("seed %d", seed).isEmpty();
            }
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.qcow2.WriteWorld.DataFile;
import dev.vublk.blockdev.qcow2.WriteWorld.Kind;
import dev.vublk.blockdev.testing.PlainLoop;
import dev.vublk.blockdev.testing.TestVector;
import java.nio.file.Path;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** An image on a file system that has no room for it. */
class FullImageTest {
    private static final int CLUSTER_BYTES = 4096;
    private static final Kind PLAIN = new Kind("cluster_size=4096", 2 << 20, false, false);

    @TempDir
    Path directory;

    static Stream<Kind> kinds() {
        return Stream.of(
                PLAIN,
                new Kind("cluster_size=4096", 2 << 20, true, true),
                new Kind("cluster_size=65536", 8 << 20, true, true),
                new Kind("cluster_size=4096,compat=0.10", 2 << 20, true, true),
                new Kind("cluster_size=512,refcount_bits=64", 1 << 20, true, true),
                new Kind("cluster_size=4096,lazy_refcounts=on", 2 << 20, true, true),
                new Kind("cluster_size=16384,extended_l2=on", 4 << 20, true, true),
                new Kind("cluster_size=65536", 4 << 20, true, true, DataFile.PLAIN));
    }

    /** Requests fail for want of room, and nothing else does; with room they succeed again, and nothing is lost or leaked. */
    @ParameterizedTest
    @MethodSource("kinds")
    void shouldGoOnWhenThereIsRoomAgain(Kind kind) throws Exception {
        long seed = Long.getLong("vublk.qcow2.seed", new Random().nextLong());
        System.out.println("seed " + seed);
        WriteWorld world = new WriteWorld(directory, kind, seed);
        world.open(0);
        int failures = 0;
        for (int round = 0; round < 3; round++) {
            world.expectFailures = true;
            long room = round * (long) world.clusterBytes();
            world.disk.limitSpace(world.disk.usedBytes() + room);
            world.dataDisk.limitSpace(world.dataDisk.usedBytes() + room);
            world.run(2, 4, 80);
            failures += world.takeFailures();

            world.disk.limitSpace(Long.MAX_VALUE);
            world.dataDisk.limitSpace(Long.MAX_VALUE);
            world.expectFailures = false;
            world.run(2, 4, 20);
        }
        assertThat(failures).as("seed %d", seed).isPositive();
        world.close();
        Path dump = world.dump();
        assertThat(world.check(dump, true)).as("seed %d", seed).isEmpty();
        assertThat(world.compare(dump, world.model.promises(false)))
                .as("seed %d", seed)
                .isEmpty();
    }

    /** What was discarded waits for a flush to be free; a write that has no other room sees to one. */
    @Test
    void shouldUseWhatWasDiscardedBeforeItSaysThatThereIsNoRoom() throws Exception {
        WriteWorld world = new WriteWorld(directory, PLAIN, 1);
        world.open(1 << 20);
        PlainLoop loop = PlainLoop.withoutRing();
        MetadataFile file = world.disk.on(loop);
        ImageChanges changes = new ImageChanges(
                world.writable, 0, file, file, new PlainReader(world.writable, file, file, new byte[0]));
        assertThat(write(loop, changes, 0)).isZero();
        world.disk.limitSpace(world.disk.usedBytes() + 8 * CLUSTER_BYTES);
        int written = 1;
        while (write(loop, changes, written) == 0) {
            written++;
        }
        assertThat(written).isEqualTo(9);
        assertThat(write(loop, changes, 100)).isEqualTo(-Errno.ENOSPC);

        assertThat(loop.run(() -> changes.eraser().discard(2 * CLUSTER_BYTES, 3 * CLUSTER_BYTES)))
                .isZero();

        for (int i = 0; i < 3; i++) {
            assertThat(write(loop, changes, 100 + i)).isZero();
        }
        assertThat(write(loop, changes, 103)).isEqualTo(-Errno.ENOSPC);
        changes.close();
        world.close();
        assertThat(world.check(world.dump(), true)).isEmpty();
    }

    private static int write(PlainLoop loop, ImageChanges changes, int cluster) {
        try (TestVector vector = TestVector.of(CLUSTER_BYTES)) {
            vector.put(new byte[CLUSTER_BYTES]);
            return loop.run(() -> changes.writer()
                    .writev((long) cluster * CLUSTER_BYTES, vector.iov(), vector.count(), CLUSTER_BYTES, false));
        }
    }
}

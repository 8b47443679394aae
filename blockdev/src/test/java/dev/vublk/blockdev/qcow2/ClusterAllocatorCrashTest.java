// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.testing.Shell;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The power is cut after each single step of growing refcounts: at worst there are leaks. */
class ClusterAllocatorCrashTest {
    /** A block counts 64 clusters of 512 bytes, a table of one cluster 64 blocks: 2 MiB. */
    private static final WriteWorld.Kind KIND =
            new WriteWorld.Kind("cluster_size=512,refcount_bits=64", 64 << 20, false, false);

    @TempDir
    Path directory;

    @BeforeEach
    void needQemu() {
        Shell.assumeProgram("qemu-img");
    }

    @Test
    void shouldLeaveNoErrorsWhileRefcountBlocksAreAdded() throws Exception {
        assertThat(allocate(300, "", 0)).isEmpty();
    }

    @Test
    void shouldLeaveNoErrorsWhileTheRefcountTableMoves() throws Exception {
        assertThat(allocate(600, "", 3700)).isEmpty();
    }

    @ParameterizedTest
    @ValueSource(strings = {"RefcountTable.addBlock", "RefcountTableGrowth.write"})
    void shouldFindABarrierThatIsLeftOut(String barrier) throws Exception {
        boolean moves = barrier.startsWith("RefcountTableGrowth");
        assertThat(allocate(moves ? 600 : 300, barrier, moves ? 3700 : 0)).isNotEmpty();
    }

    /**
     * Allocates clusters, and cuts the power after each step once the first ones are allocated.
     *
     * @return what QEMU found wrong
     */
    private List<String> allocate(int clusters, String leftOutBarrier, int safeClusters) throws Exception {
        long seed = Long.getLong("vublk.qcow2.seed", new Random().nextLong());
        System.out.println("seed " + seed);
        WriteWorld world = new WriteWorld(directory, KIND, seed);
        world.open(0);
        ClusterRun run = new ClusterRun();
        MetadataFile file = world.disk.blocking();
        for (long done = 0; done < safeClusters; done += run.count) {
            assertThat(world.writable.allocator.allocate(file, 64, run)).isZero();
        }
        world.disk.settle();
        world.disk.forgetBarriersOf(leftOutBarrier);
        List<String> wrong = new ArrayList<>();
        Random cut = new Random(seed);
        world.disk.observe(() -> cutOnce(world, cut, wrong));
        for (long done = 0; done < clusters && wrong.isEmpty(); done += run.count) {
            assertThat(world.writable.allocator.allocate(file, 64, run)).isZero();
        }
        world.abandon();
        return wrong;
    }

    private static void cutOnce(WriteWorld world, Random cut, List<String> wrong) {
        try {
            for (int i = 0; i < 4 && wrong.isEmpty(); i++) {
                Path dump = world.dumpAfterCut(cut);
                String found = world.check(dump, false);
                if (!found.isEmpty()) {
                    wrong.add(found);
                }
                Files.delete(dump);
            }
        } catch (Exception e) {
            throw new AssertionError(e);
        }
    }
}

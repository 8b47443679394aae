// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockOptions.Locking;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.qcow2.WriteWorld.Kind;
import dev.vublk.blockdev.testing.Crew;
import dev.vublk.blockdev.testing.PlainLoop;
import dev.vublk.blockdev.testing.Shell;
import dev.vublk.blockdev.testing.TestDisk;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Images that are written become larger meanwhile; QEMU's programs say what came of it. */
class ImageGrowthTest {
    /** An L1 table of 256 bytes at first, which has room for as much again in its cluster. */
    private static final Kind SMALL_CLUSTERS = new Kind("cluster_size=512,refcount_bits=64", 1 << 20, true, true);

    private static final int GROWTHS = 8;

    @TempDir
    private Path directory;

    @BeforeEach
    void needQemu() {
        Shell.assumeQemuTools();
    }

    static Stream<Kind> kinds() {
        return Stream.of(
                SMALL_CLUSTERS,
                new Kind("cluster_size=4096", 2 << 20, false, true),
                new Kind("cluster_size=4096,lazy_refcounts=on", 2 << 20, true, true),
                new Kind("cluster_size=4096,compat=0.10", 2 << 20, true, false),
                new Kind("cluster_size=65536", 8 << 20, true, true),
                new Kind("cluster_size=16384,extended_l2=on", 4 << 20, true, true));
    }

    @ParameterizedTest
    @MethodSource("kinds")
    void shouldGrowUnderRandomRequests(Kind kind) throws Exception {
        long seed = Long.getLong("vublk.qcow2.seed", new Random().nextLong());
        System.out.println("seed " + seed);
        WriteWorld world = new WriteWorld(directory, kind, seed);
        world.open(0);
        try (Crew crew = new Crew()) {
            world.start(crew, 2, 4, 120);
            crew.run(() -> grow(world, new Random(seed), GROWTHS));
            crew.join();
        }
        world.run(2, 4, 40);
        world.close();
        Path dump = world.dump();
        assertThat(world.takeFailures()).as("seed %d", seed).isZero();
        assertThat(world.check(dump, true)).as("seed %d", seed).isEmpty();
        assertThat(world.compare(dump, world.model.promises(false)))
                .as("seed %d", seed)
                .isEmpty();
    }

    /** By random steps, to more than twice the size. */
    private static List<Integer> grow(WriteWorld world, Random random, int steps) throws Exception {
        List<Integer> results = new ArrayList<>();
        int step = world.model.sectorCount() / 4;
        for (int i = 0; i < steps; i++) {
            results.add(world.grow(world.model.sectorCount() + 1 + random.nextInt(step)));
        }
        assertThat(results).containsOnly(0);
        return results;
    }

    @ParameterizedTest
    @MethodSource("kinds")
    void shouldSurviveKillsAndPowerCuts(Kind kind) throws Exception {
        long seed = Long.getLong("vublk.qcow2.seed", new Random().nextLong());
        System.out.println("seed " + seed);
        assertThat(crash(new WriteWorld(directory, kind, seed), seed))
                .as("seed %d", seed)
                .isEmpty();
    }

    @Test
    void shouldSurviveAPowerCutBeforeEachCallOfAGrowth() throws Exception {
        assertThat(cutAtEachCall("")).isEmpty();
    }

    /** The test above must be able to fail: a new L1 table that is named before it is stable is found. */
    @Test
    void shouldFindABarrierThatIsLeftOut() throws Exception {
        assertThat(cutAtEachCall("ImageGrowth.move")).isNotEmpty();
    }

    /** What is wrong after power cuts while the L1 table moves, when nothing else happens. */
    private List<String> cutAtEachCall(String barrierLeftOut) throws Exception {
        long seed = Long.getLong("vublk.qcow2.seed", new Random().nextLong());
        System.out.println("seed " + seed);
        Random random = new Random(seed);
        WriteWorld world = new WriteWorld(directory, SMALL_CLUSTERS, seed);
        world.open(0);
        world.run(2, 4, 20);
        world.disk.forgetBarriersOf(barrierLeftOut);
        List<String> wrong = new ArrayList<>();
        world.holdUp(() -> cut(world, random, wrong));
        assertThat(world.grow(4200)).isZero();
        cut(world, random, wrong);
        world.abandon();
        return wrong;
    }

    private static void cut(WriteWorld world, Random random, List<String> wrong) {
        try {
            for (int i = 0; i < 4; i++) {
                Path dump = world.dumpAfterCut(random);
                String found = world.check(dump, false);
                found += found.isEmpty() ? world.compare(dump, world.model.promises(true)) : "";
                if (!found.isEmpty()) {
                    wrong.add(found);
                }
                Files.delete(dump);
            }
        } catch (Exception e) {
            throw new AssertionError(e);
        }
    }

    private static List<String> crash(WriteWorld world, long seed) throws Exception {
        CrashPlan plan = new CrashPlan(world, seed, 10, 2);
        world.open(0);
        world.holdUp(plan);
        try (Crew crew = new Crew()) {
            world.start(crew, 2, 4, 130);
            crew.run(() -> grow(world, new Random(seed), GROWTHS));
            crew.join();
        }
        world.abandon();
        assertThat(plan.crashesLeft()).as("crashes that did not happen").isZero();
        return plan.wrong();
    }

    /** Whichever call fails that a growth makes, and whether it has been carried out or not, the image stays sound. */
    @ParameterizedTest
    @CsvSource({"2100,false", "2100,true", "4200,false", "4200,true"})
    void shouldSurviveErrorsOfTheFile(int sectors, boolean triesAgain) throws Exception {
        long seed = Long.getLong("vublk.qcow2.seed", new Random().nextLong());
        System.out.println("seed " + seed);
        int failed = 0;
        for (int call = 0; failed == call; call++) {
            Path fresh = Files.createTempDirectory(directory, "call");
            WriteWorld world = new WriteWorld(fresh, SMALL_CLUSTERS, seed);
            world.open(0);
            world.run(1, 2, 5); // So that clusters are reserved, and the first change is over.
            world.disk.failAfter(call);
            failed += world.grow(sectors) == 0 ? 0 : 1;
            world.disk.failAfter(-1);
            if (triesAgain) {
                assertThat(world.grow(sectors)).isZero();
            }
            world.expectFailures = !triesAgain;
            world.run(2, 4, 60);
            world.close();
            Path dump = world.dump();
            assertThat(world.check(dump, false))
                    .as("seed %d, call %d", seed, call)
                    .isEmpty();
            assertThat(world.compare(dump, world.model.promises(false)))
                    .as("seed %d, call %d", seed, call)
                    .isEmpty();
        }
        assertThat(failed).isGreaterThan(2);
    }

    // ---- in real files

    private Path create(String options, String size) throws Exception {
        Path image = directory.resolve("image.qcow2");
        Shell.check("qemu-img", "create", "-q", "-f", "qcow2", "-o", options, image.toString(), size);
        return image;
    }

    private static TestDisk open(Path image) throws Exception {
        return new TestDisk(TestDisk.options(image), PlainLoop.withRing());
    }

    private static byte[] data(int value) {
        byte[] data = new byte[4096];
        Arrays.fill(data, (byte) value);
        return data;
    }

    @Test
    void shouldGrowARealFile() throws Exception {
        Path image = create("cluster_size=4096", "8M");
        try (TestDisk disk = open(image)) {
            assertThat(disk.write(0, data(1), false)).isZero();
            for (int mib = 16; mib <= 2048; mib *= 2) {
                assertThat(disk.driver.grow((long) mib << 20)).isTrue();
                assertThat(disk.driver.limits().sizeBytes()).isEqualTo((long) mib << 20);
                assertThat(disk.read(((long) mib << 20) - 4096, 4096)).isEqualTo(data(0));
                assertThat(disk.write(((long) mib << 20) - 4096, data(mib), false))
                        .isZero();
            }
            assertThat(disk.driver.grow(2048L << 20)).isFalse();
        }
        Shell.check("qemu-img", "check", image.toString());
        assertThat(Shell.run("qemu-img", "info", image.toString()).output()).contains("(2147483648 bytes)");
        try (TestDisk disk = open(image)) {
            assertThat(disk.read(0, 4096)).isEqualTo(data(1));
            for (int mib = 16; mib <= 2048; mib *= 2) {
                assertThat(disk.read(((long) mib << 20) - 4096, 4096)).isEqualTo(data(mib));
            }
        }
    }

    private static void assertRefused(BlockDriver driver, String why) {
        long before = driver.limits().sizeBytes();
        assertThatThrownBy(() -> driver.grow(1L << 34))
                .isInstanceOf(IOException.class)
                .hasMessageContaining(why);
        assertThat(driver.limits().sizeBytes()).isEqualTo(before);
    }

    @Test
    void shouldRefuseWhatWouldNotFit() throws Exception {
        Path image = create("cluster_size=65536", "8M");
        Shell.check("qemu-img", "bitmap", "--add", image.toString(), "bitmap0");
        try (TestDisk disk = open(image)) {
            assertRefused(disk.driver, "persistent bitmaps");
        }
        image = create("cluster_size=65536,compat=0.10", "8M");
        Shell.check("qemu-img", "snapshot", "-c", "before", image.toString());
        try (TestDisk disk = open(image)) {
            assertRefused(disk.driver, "snapshots");
        }
        image = create("cluster_size=65536,data_file=" + directory.resolve("data.raw"), "8M");
        try (TestDisk disk = open(image)) {
            assertRefused(disk.driver, "external data file");
        }
        image = create("cluster_size=512", "8M");
        try (TestDisk disk = open(image)) {
            assertThatThrownBy(() -> disk.driver.grow(1L << 45)).hasMessageContaining("larger clusters than 512 bytes");
        }
        Path backing = directory.resolve("backing.raw");
        Files.write(backing, new byte[12 << 20]);
        image = create("backing_file=" + backing + ",backing_fmt=raw", "8M");
        try (TestDisk disk = open(image)) {
            assertRefused(disk.driver, "its backing file is larger");
        }
    }

    @Test
    void shouldNotTouchAnImageThatAnotherHostMayHave() throws Exception {
        Path image = create("cluster_size=65536", "8M");
        try (TestDisk disk =
                new TestDisk(TestDisk.options(image).withLocking(Locking.DEFERRED), PlainLoop.withRing())) {
            assertRefused(disk.driver, "another host may");
            disk.driver.activate();
            assertThat(disk.driver.grow(1L << 34)).isTrue();
        }
    }

    @Test
    void shouldSayThatThereIsNoRoom() throws Exception {
        WriteWorld world = new WriteWorld(directory, SMALL_CLUSTERS, 1);
        world.open(0);
        while (world.takeFailures() == 0) { // What is reserved is used up.
            world.disk.limitSpace(world.disk.usedBytes());
            world.expectFailures = true;
            world.run(1, 2, 20);
        }
        assertThat(world.grow(8400)).isEqualTo(-Errno.ENOSPC);
        world.expectFailures = false;
        world.disk.limitSpace(Long.MAX_VALUE);
        assertThat(world.grow(8400)).isZero();
        world.run(2, 4, 40);
        world.close();
        assertThat(world.check(world.dump(), true)).isEmpty();
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.BlockOptions.CacheMode;
import dev.vublk.blockdev.BlockOptions.IoEngine;
import dev.vublk.blockdev.testing.PlainLoop;
import dev.vublk.blockdev.testing.TestDisk;
import dev.vublk.blockdev.testing.TestImages;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/** Random requests on files: every engine, cache mode and file system here must agree with an array. */
final class DifferentialTest {
    private static final int DISK_BYTES = 3 << 20;
    private static final int STEPS = 150;
    private static final List<IoEngine> ENGINES = List.of(IoEngine.IO_URING, IoEngine.THREADS, IoEngine.MMAP);

    @TestFactory
    List<DynamicTest> shouldAgreeWithArrayOnEveryEngineAndCacheMode() {
        List<DynamicTest> tests = new ArrayList<>();
        for (Path directory : TestImages.directories()) {
            for (CacheMode mode : CacheMode.values()) {
                for (IoEngine engine : ENGINES) {
                    if (engine == IoEngine.MMAP && !directory.startsWith("/dev/shm")) {
                        continue;
                    }
                    String name = directory + " cache=" + mode + " " + engine;
                    tests.add(DynamicTest.dynamicTest(name, () -> compare(directory, mode, engine)));
                }
            }
        }
        return tests;
    }

    private static void compare(Path directory, CacheMode mode, IoEngine engine) throws Exception {
        long seed = System.nanoTime();
        Path image = TestImages.file(directory, DISK_BYTES);
        BlockOptions options = TestDisk.options(image, mode, engine);
        try (TestDisk disk = new TestDisk(options, PlainLoop.withRing())) {
            RandomRequests requests = new RandomRequests(disk, seed, new byte[DISK_BYTES]);
            requests.run(STEPS);
            assertThat(Files.readAllBytes(image)).isEqualTo(requests.model());
        } finally {
            Files.delete(image);
        }
    }
}

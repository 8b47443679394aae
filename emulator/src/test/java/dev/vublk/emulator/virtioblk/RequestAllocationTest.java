// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import static dev.vublk.emulator.GuestRequest.*;
import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.BlockOptions.CacheMode;
import dev.vublk.blockdev.BlockOptions.IoEngine;
import dev.vublk.emulator.EmulatorUnderTest;
import dev.vublk.emulator.Guest;
import dev.vublk.emulator.GuestQueue;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** After warm-up, requests cost their IOThread no garbage. */
final class RequestAllocationTest {
    private static final int REQUESTS = 100_000;
    private static final int DEPTH = 32;

    @TempDir
    Path directory;

    private static void run(GuestQueue queue) {
        for (int i = 0; i < REQUESTS; i += DEPTH) {
            for (int j = 0; j < DEPTH; j++) {
                queue.add(j % 4 == 0 ? write(j, new byte[512]) : read(j, 4096));
            }
            queue.publishAndKick();
            queue.awaitAll();
        }
    }

    private static long allocatedBytes() {
        long id = Thread.getAllStackTraces().keySet().stream()
                .filter(thread -> thread.getName().equals("vublk-iothread-0"))
                .mapToLong(Thread::threadId)
                .findFirst()
                .orElseThrow();
        return ((ThreadMXBean) ManagementFactory.getThreadMXBean()).getThreadAllocatedBytes(id);
    }

    /** The compiler takes its time on a busy machine: the best of several rounds counts. */
    private void check(BlockOptions options) throws Exception {
        try (EmulatorUnderTest emulator =
                        new EmulatorUnderTest.Setup(directory).block(options).start();
                Guest guest = Guest.connect(emulator)) {
            GuestQueue queue = guest.queue();
            double best = Double.MAX_VALUE;
            for (int round = 0; round < 8 && best > 1; round++) {
                long before = allocatedBytes();
                run(queue);
                double perRequest = (allocatedBytes() - before) / (double) REQUESTS;
                System.out.println(options.image() + ": " + perRequest + " bytes a request");
                best = Math.min(best, perRequest);
            }
            assertThat(best).isLessThanOrEqualTo(1);
        }
    }

    @Test
    void shouldAllocateNothingForANullDisk() throws Exception {
        check(BlockOptions.defaults("null:64MiB"));
    }

    @Test
    void shouldAllocateNothingForAFileThroughIoUring() throws Exception {
        check(file(IoEngine.IO_URING));
    }

    @Test
    void shouldAllocateNothingForAFileThroughWorkers() throws Exception {
        check(file(IoEngine.THREADS));
    }

    private BlockOptions file(IoEngine engine) throws Exception {
        Path image = directory.resolve("disk.img");
        Files.write(image, new byte[1 << 20]);
        return new BlockOptions(image.toString(), false, CacheMode.WRITEBACK, engine, true, 0, true, false, false);
    }
}

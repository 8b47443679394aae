// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import static dev.vublk.emulator.GuestRequest.*;
import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.BlockOptions.CacheMode;
import dev.vublk.blockdev.BlockOptions.IoEngine;
import dev.vublk.emulator.EmulatorUnderTest;
import dev.vublk.emulator.Guest;
import dev.vublk.emulator.GuestQueue;
import dev.vublk.emulator.GuestRequest;
import dev.vublk.emulator.RingKind;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** Random requests in random layouts on several queues against a model in memory; none overlaps another in flight. */
@ParameterizedClass
@EnumSource
final class RandomRequestsTest {
    @Parameter
    RingKind rings = RingKind.SPLIT; // Set by JUnit.

    private static final int DISK_SECTORS = 4096;
    private static final int QUEUES = 4;
    private static final int DEPTH = 32;
    private static final int REQUESTS = 4000;
    private static final int SECTORS_MAX = 64;

    @TempDir
    Path directory;

    private final byte[] model = new byte[DISK_SECTORS * 512];
    private final List<Pending> inFlight = new ArrayList<>();
    private final long seed = System.nanoTime();
    private final Random random = new Random(seed);

    /** A request under way, and what has to be true when it is done. */
    private static final class Pending {
        private final GuestRequest request;
        private final int type;
        private final int sector;
        private final int sectors;
        private final byte[] data;

        private Pending(GuestRequest request, int type, int sector, int sectors, byte[] data) {
            this.request = request;
            this.type = type;
            this.sector = sector;
            this.sectors = sectors;
            this.data = data;
        }

        private boolean overlaps(int otherSector, int otherSectors) {
            return sector < otherSector + otherSectors && otherSector < sector + sectors;
        }

        @Override
        public String toString() {
            return "type " + type + " of " + sectors + " sectors at " + sector;
        }
    }

    @ParameterizedTest
    @CsvSource({"IO_URING,WRITEBACK", "IO_URING,NONE", "THREADS,WRITEBACK", "THREADS,NONE"})
    void shouldBehaveAsTheModel(IoEngine engine, CacheMode cache) throws Exception {
        System.out.println("RandomRequestsTest " + engine + " " + cache + ", seed " + seed);
        random.nextBytes(model);
        Path image = directory.resolve("disk.img");
        Files.write(image, model);
        BlockOptions options =
                BlockOptions.of(image.toString()).withCacheMode(cache).withEngine(engine);
        try (EmulatorUnderTest emulator = new EmulatorUnderTest.Setup(directory)
                        .block(options)
                        .ioThreads(2)
                        .start();
                Guest guest = Guest.connect(emulator, rings)) {
            List<GuestQueue> queues = new ArrayList<>();
            for (int i = 0; i < QUEUES; i++) {
                queues.add(guest.queue(i, 256).start());
            }
            run(queues);
        }
        assertThat(Files.readAllBytes(image)).as("seed %d", seed).isEqualTo(model);
    }

    private void run(List<GuestQueue> queues) {
        int[] depth = new int[QUEUES];
        for (int i = 0; i < REQUESTS; i++) {
            int index = random.nextInt(QUEUES);
            GuestQueue queue = queues.get(index);
            if (depth[index] == DEPTH) {
                check(queue.awaitOne());
                depth[index]--;
            }
            Pending next = newRequest();
            if (next != null) {
                inFlight.add(next);
                queue.submit(next.request);
                depth[index]++;
            }
            for (GuestRequest done = queue.poll(); done != null; done = queue.poll()) {
                check(done);
                depth[index]--;
            }
        }
        for (int i = 0; i < QUEUES; i++) {
            for (; depth[i] > 0; depth[i]--) {
                check(queues.get(i).awaitOne());
            }
        }
    }

    /** Null when the range that came up is in use. */
    private @Nullable Pending newRequest() {
        int type = new int[] {IN, IN, IN, OUT, OUT, OUT, DISCARD, WRITE_ZEROES, FLUSH}[random.nextInt(9)];
        int sectors = type == FLUSH ? 0 : 1 + random.nextInt(SECTORS_MAX);
        int sector = random.nextInt(DISK_SECTORS - SECTORS_MAX);
        for (Pending pending : inFlight) {
            if (pending.overlaps(sector, sectors)) {
                return null;
            }
        }
        byte[] data = new byte[sectors * 512];
        GuestRequest request = switch (type) {
            case IN -> read(sector, data.length);
            case OUT -> {
                random.nextBytes(data);
                yield write(sector, data);
            }
            case DISCARD -> ranges(DISCARD, sector, sectors, 0);
            case WRITE_ZEROES -> ranges(WRITE_ZEROES, sector, sectors, random.nextInt(2));
            default -> of(FLUSH, 0);
        };
        return new Pending(cut(request), type, sector, sectors, data);
    }

    private GuestRequest cut(GuestRequest request) {
        if (random.nextInt(3) == 0) {
            request.cutReadable(randomCuts()).cutWritable(randomCuts());
        }
        if (random.nextInt(2) == 0) {
            request.indirect();
        }
        return request.skewed(new int[] {0, 0, 0, 1, 7, 512}[random.nextInt(6)]);
    }

    private int[] randomCuts() {
        int[] cuts = new int[random.nextInt(7)];
        for (int i = 0; i < cuts.length; i++) {
            cuts[i] = random.nextInt(4) == 0 ? random.nextInt(30) : 512 * random.nextInt(20);
        }
        return cuts;
    }

    private void check(GuestRequest done) {
        Pending pending = inFlight.stream()
                .filter(candidate -> candidate.request.equals(done))
                .findFirst()
                .orElseThrow();
        inFlight.remove(pending);
        assertThat(done.status()).as("seed %d, %s", seed, pending).isEqualTo(OK);
        int begin = pending.sector * 512;
        int end = begin + pending.sectors * 512;
        if (pending.type == IN) {
            assertThat(done.usedBytes()).isEqualTo(pending.data.length + 1);
            assertThat(done.answer()).as("seed %d, %s", seed, pending).isEqualTo(Arrays.copyOfRange(model, begin, end));
            return;
        }
        assertThat(done.usedBytes()).isEqualTo(1);
        if (pending.type == OUT) {
            System.arraycopy(pending.data, 0, model, begin, pending.data.length);
        } else {
            // A file reads zeroes where it was discarded.
            Arrays.fill(model, begin, end, (byte) 0);
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.BlockOptions.CacheMode;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.testing.Crew;
import dev.vublk.blockdev.testing.FaultPlan;
import dev.vublk.blockdev.testing.PlainLoop;
import dev.vublk.blockdev.testing.Shell;
import dev.vublk.blockdev.testing.TestDisk;
import dev.vublk.blockdev.testing.TestVector;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The driver on real files, from several loops at once, while system calls fail, are short or interrupted now and then. */
final class Qcow2FaultTest {
    private static final int SECTOR_BYTES = SectorModel.SECTOR_BYTES;
    private static final int LOOPS = 2;
    private static final int COROUTINES = 3;
    private static final int STEPS = 80;

    @TempDir
    private Path directory;

    private final AtomicLong stamps = new AtomicLong(1L << 32);

    /** A system call that fails does nothing; one that is short is continued by one that may fail. */
    private static final class Faults implements FaultPlan {
        private final Random random;

        Faults(long seed) {
            random = new Random(seed);
        }

        @Override
        public synchronized long next(Operation operation, long offsetBytes, long lengthBytes) {
            int choice = random.nextInt(40);
            if (operation == Operation.FSYNC || operation == Operation.WRITE_DSYNC || operation == Operation.BLOCKING) {
                return NO_FAULT; // One failed fsync ends all flushes for ever.
            }
            return switch (choice) {
                case 0 -> -Errno.EIO;
                case 1, 2 -> operation == Operation.FALLOCATE ? NO_FAULT : -Errno.EAGAIN;
                case 3, 4 -> operation == Operation.FALLOCATE ? NO_FAULT : -Errno.EINTR;
                case 5, 6, 7 ->
                    operation == Operation.FALLOCATE || lengthBytes <= SECTOR_BYTES
                            ? NO_FAULT
                            : SECTOR_BYTES * (1L + random.nextInt((int) (lengthBytes / SECTOR_BYTES)));
                default -> NO_FAULT;
            };
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"WRITEBACK", "NONE"})
    void shouldFailRequestsAndNothingElse(CacheMode mode) throws Exception {
        Shell.assumeQemuTools();
        long seed = Long.getLong("vublk.qcow2.seed", new Random().nextLong());
        System.out.println("seed " + seed);
        Path image = directory.resolve("random.qcow2");
        Path raw = directory.resolve("random.raw");
        String options = RandomImage.make(image, new Random(seed));
        SectorModel model = new SectorModel(stamps(image, raw));
        BlockOptions disk = TestDisk.options(image, mode);
        try (TestDisk opened = new TestDisk(disk, PlainLoop.withRing())) {
            run(opened, model, new Random(seed));
        }
        // Of bitmaps that are inconsistent now QEMU sees the space as leaked.
        String check = Shell.run("qemu-img", "check", image.toString()).output();
        assertThat(check).as("seed %d: %s", seed, options).doesNotContain("ERROR");
        long[] found = stamps(image, raw);
        List<String> wrong = new ArrayList<>();
        for (int sector = 0; sector < found.length; sector++) {
            if (!model.afterKill(sector).contains(found[sector])) {
                wrong.add("sector " + sector + " holds " + found[sector] + " not " + model.afterKill(sector));
            }
        }
        assertThat(wrong).as("seed %d: %s", seed, options).isEmpty();
    }

    private void run(TestDisk disk, SectorModel model, Random random) throws Exception {
        List<BlockChannel> channels = new ArrayList<>();
        try (Crew crew = new Crew()) {
            for (int i = 0; i < LOOPS; i++) {
                PlainLoop loop = PlainLoop.withRing(new Faults(random.nextLong()));
                BlockChannel channel = disk.driver.openChannel(loop);
                channels.add(channel);
                for (int j = 0; j < COROUTINES; j++) {
                    Random mine = new Random(random.nextLong());
                    crew.run(() -> {
                        for (int step = 0; step < STEPS; step++) {
                            step(mine, loop, channel, model);
                        }
                        return null;
                    });
                }
            }
            crew.join();
        }
        channels.forEach(BlockChannel::close);
    }

    private void step(Random mine, PlainLoop loop, BlockChannel channel, SectorModel model) {
        int count = 1 + mine.nextInt(mine.nextInt(4) == 0 ? 300 : 20);
        int first = mine.nextInt(model.sectorCount() - count);
        if (!model.claim(first, count)) {
            return;
        }
        long at = (long) first * SECTOR_BYTES;
        long bytes = (long) count * SECTOR_BYTES;
        int kind = mine.nextInt(10);
        if (kind < 5) {
            write(mine, loop, channel, model, first, count);
        } else if (kind < 8) {
            read(loop, channel, model, first, count);
        } else {
            boolean unmap = mine.nextBoolean();
            model.begin(first, count, 0);
            model.end(first, count, loop.run(() -> channel.writeZeroes(at, bytes, unmap, false)) == 0);
        }
        model.unclaim(first);
    }

    private void write(Random mine, PlainLoop loop, BlockChannel channel, SectorModel model, int first, int count) {
        long stamp = stamps.incrementAndGet();
        ByteBuffer content = ByteBuffer.allocate(count * SECTOR_BYTES).order(ByteOrder.nativeOrder());
        while (content.hasRemaining()) {
            content.putLong(stamp);
        }
        try (TestVector vector = TestVector.random(mine, content.capacity())) {
            vector.put(content.array());
            model.begin(first, count, stamp);
            boolean fua = mine.nextInt(10) == 0;
            int result = loop.run(() ->
                    channel.writev((long) first * SECTOR_BYTES, vector.iov(), vector.count(), content.capacity(), fua));
            model.end(first, count, result == 0);
        }
    }

    private static void read(PlainLoop loop, BlockChannel channel, SectorModel model, int first, int count) {
        try (TestVector vector = TestVector.of(count * SECTOR_BYTES)) {
            int result = loop.run(() -> channel.readv(
                    (long) first * SECTOR_BYTES, vector.iov(), vector.count(), (long) count * SECTOR_BYTES));
            ByteBuffer bytes = ByteBuffer.wrap(vector.get()).order(ByteOrder.nativeOrder());
            for (int i = 0; i < count && result == 0; i++) {
                long stamp = bytes.getLong(i * SECTOR_BYTES);
                if (!model.reads(first + i, stamp)) {
                    throw new AssertionError("sector " + (first + i) + " reads as " + stamp);
                }
            }
        }
    }

    /** What each sector begins with; the content of the images that are made is not stamps, but is not changed either. */
    private static long[] stamps(Path image, Path raw) throws Exception {
        Shell.check("qemu-img", "convert", "-O", "raw", image.toString(), raw.toString());
        ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(raw)).order(ByteOrder.nativeOrder());
        long[] stamps = new long[bytes.capacity() / SECTOR_BYTES];
        for (int sector = 0; sector < stamps.length; sector++) {
            stamps[sector] = bytes.getLong(sector * SECTOR_BYTES);
        }
        return stamps;
    }
}

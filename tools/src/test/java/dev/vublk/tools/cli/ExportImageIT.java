// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** An image made of a disk that a front end writes at full speed: it is the disk as it was at one moment. */
@Timeout(180)
class ExportImageIT {
    private static final int BLOCK_BYTES = 4096;
    private static final int BLOCKS = 4096;

    /** An image of 16 MiB takes two seconds. */
    private static final String SLOWLY = "8M";

    @TempDir
    private Path directory;

    private Random random;

    @BeforeEach
    void createImage() throws Exception {
        long seed = Long.getLong("vublk.seed", System.nanoTime());
        System.out.println("seed " + seed);
        random = new Random(seed);
        try (FileChannel file =
                FileChannel.open(directory.resolve("a.img"), StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
            file.write(ByteBuffer.allocate(BLOCKS * BLOCK_BYTES));
        }
    }

    private VublkLauncher export(String... options) throws Exception {
        List<String> command = new ArrayList<>(
                List.of("export", "a.img", "--socket", "a.sock", "--control", "c.sock", "--snapshot-dir", "."));
        command.addAll(List.of(options));
        return VublkLauncher.start(directory, command.toArray(String[]::new)).awaitReady(1);
    }

    /** A guest that writes the numbers 1, 2, 3 … to random blocks, one after the other, until it is closed. */
    private final class Writer implements AutoCloseable {
        private final AtomicBoolean ending = new AtomicBoolean();
        private final AtomicReference<Throwable> failure = new AtomicReference<>();
        private final List<Integer> blocks = new ArrayList<>();
        private final Thread thread = Thread.ofPlatform().start(this::run);

        private void run() {
            try (BlkDriver driver = new BlkDriver(directory.resolve("a.sock"))) {
                for (int number = 1; !ending.get(); number++) {
                    int block = random.nextInt(BLOCKS);
                    synchronized (blocks) {
                        blocks.add(block);
                        blocks.notifyAll();
                    }
                    assertThat(driver.write((long) block * BLOCK_BYTES / 512, stamped(number)))
                            .isEqualTo(BlkDriver.S_OK);
                }
            } catch (Throwable t) {
                failure.set(t);
            }
        }

        private void awaitCount(int count) throws InterruptedException {
            synchronized (blocks) {
                while (blocks.size() < count) {
                    blocks.wait();
                }
            }
        }

        private int count() {
            synchronized (blocks) {
                return blocks.size();
            }
        }

        @Override
        public void close() {
            ending.set(true);
            while (thread.isAlive()) {
                try {
                    thread.join();
                } catch (InterruptedException e) {
                    throw new AssertionError(e);
                }
            }
            assertThat(failure.get()).isNull();
        }
    }

    private static byte[] stamped(int number) {
        ByteBuffer bytes = ByteBuffer.allocate(BLOCK_BYTES).order(ByteOrder.LITTLE_ENDIAN);
        while (bytes.hasRemaining()) {
            bytes.putInt(number);
        }
        return bytes.array();
    }

    /** The last write that an image has; every block must be as it was after just that one. */
    private int lastWrite(Path image, List<Integer> blocks) throws Exception {
        ByteBuffer content = ByteBuffer.wrap(Files.readAllBytes(image)).order(ByteOrder.LITTLE_ENDIAN);
        assertThat(content.remaining()).isEqualTo(BLOCKS * BLOCK_BYTES);
        int last = 0;
        for (int block = 0; block < BLOCKS; block++) {
            last = Math.max(last, content.getInt(block * BLOCK_BYTES));
        }
        int[] expected = new int[BLOCKS];
        for (int number = 1; number <= last; number++) {
            expected[blocks.get(number - 1)] = number;
        }
        for (int block = 0; block < BLOCKS; block++) {
            for (int at = 0; at < BLOCK_BYTES; at += 4) {
                assertThat(content.getInt(block * BLOCK_BYTES + at))
                        .as("block %d of an image with %d writes", block, last)
                        .isEqualTo(expected[block]);
            }
        }
        return last;
    }

    @ParameterizedTest
    @ValueSource(strings = {"raw", "qcow2"})
    void shouldHaveTheStateOfOneMoment(String format) throws Exception {
        try (VublkLauncher vublk = export("--iothreads", "2")) {
            assertThat(Files.getPosixFilePermissions(directory.resolve("c.sock")))
                    .isEqualTo(PosixFilePermissions.fromString("rw-------"));
            try (Writer writer = new Writer()) {
                for (int round = 0; round < 3; round++) {
                    writer.awaitCount(writer.count() + 100);
                    int before = writer.count();
                    CapturedRun run = VublkLauncher.run(
                            directory,
                            "export-image",
                            "--from-control",
                            "c.sock",
                            "--disk",
                            "a.img",
                            "-r",
                            SLOWLY,
                            "-O",
                            format,
                            "b.img");
                    assertThat(run.status()).as(run.toString()).isZero();
                    int after = writer.count();
                    Path raw = directory.resolve("b.img");
                    if (format.equals("qcow2")) {
                        raw = directory.resolve("b.raw");
                        HostCommand.run(
                                "qemu-img",
                                "convert",
                                "-O",
                                "raw",
                                directory.resolve("b.img").toString(),
                                raw.toString());
                    }
                    List<Integer> blocks;
                    synchronized (writer.blocks) {
                        blocks = List.copyOf(writer.blocks);
                    }
                    int last = lastWrite(raw, blocks);
                    System.out.printf("writes: %d before, %d in the image, %d after%n", before, last, after);
                    assertThat(last).isBetween(before - 1, after - 1);
                }
            }
            vublk.stop();
        }
        assertThat(directory.resolve("c.sock")).doesNotExist();
    }

    @Test
    void shouldFailAndLetTheGuestLiveWhenItOverwritesTooMuch() throws Exception {
        try (VublkLauncher vublk = export("--snapshot-max", "1M")) {
            try (Writer writer = new Writer()) {
                writer.awaitCount(100);
                CapturedRun run =
                        VublkLauncher.run(directory, "export-image", "--from-control", "c.sock", "-r", "2M", "b.img");
                assertThat(run.status()).as(run.toString()).isEqualTo(1);
                assertThat(run.err())
                        .isEqualTo("vublk: c.sock: 0: the snapshot was given up: guests have overwritten more than"
                                + " the 1048576 bytes that may be kept\n");
                writer.awaitCount(writer.count() + 100);
            }
            assertThat(directory.resolve("b.img")).doesNotExist();
            // The next one begins anew.
            CapturedRun quiet = VublkLauncher.run(directory, "export-image", "--from-control", "c.sock", "b.img");
            assertThat(quiet.status()).as(quiet.toString()).isZero();
            assertThat(Files.mismatch(directory.resolve("a.img"), directory.resolve("b.img")))
                    .isEqualTo(-1);
            vublk.stop();
        }
    }

    @Test
    void shouldForgetTheSnapshotOfWhoIsKilled() throws Exception {
        try (VublkLauncher vublk = export();
                Writer writer = new Writer()) {
            try (VublkLauncher killed = VublkLauncher.start(
                    directory,
                    "export-image",
                    "--from-control",
                    "c.sock",
                    "-S",
                    "0",
                    "-r",
                    "256K",
                    "--progress=json",
                    "b.img")) {
                killed.awaitLine();
                CapturedRun second = VublkLauncher.run(directory, "export-image", "--from-control", "c.sock", "c.img");
                assertThat(second.status()).isEqualTo(1);
                assertThat(second.err())
                        .isEqualTo("vublk: c.sock: 0: a.img: somebody is reading a snapshot of it already\n");
                killed.signal("KILL");
                killed.awaitExit();
            }
            writer.awaitCount(writer.count() + 100);
            assertThat(vublk.isAlive()).isTrue();
        }
    }

    @Test
    void shouldSayWhatIsWrong() throws Exception {
        try (VublkLauncher vublk = export()) {
            CapturedRun noDisk = VublkLauncher.run(
                    directory, "export-image", "--from-control", "c.sock", "--disk", "b.img", "x.img");
            assertThat(noDisk.status()).isEqualTo(1);
            assertThat(noDisk.err())
                    .isEqualTo("vublk: c.sock: b.img: no disk 'b.img' is exported here: there is a.img\n");
            CapturedRun noSocket = VublkLauncher.run(directory, "export-image", "--from-control", "d.sock", "x.img");
            assertThat(noSocket.status()).isEqualTo(1);
            assertThat(noSocket.err())
                    .startsWith("vublk: d.sock: cannot connect: ")
                    .hasLineCount(1);
            vublk.stop();
        }
    }
}

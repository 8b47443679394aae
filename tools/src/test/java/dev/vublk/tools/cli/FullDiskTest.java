// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintWriter;
import java.io.RandomAccessFile;
import java.io.StringWriter;
import java.io.Writer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine;

/** What commands do when the disk is full that they write to: a file system of 1 MiB, mounted for the test. */
class FullDiskTest {
    private static final int MIB = 1 << 20;

    @TempDir
    private Path directory;

    private Path small;
    private Path noise;

    @BeforeEach
    void mount() throws Exception {
        assumeTrue(HostCommand.run("id", "-u").equals("0"), "mounting needs root");
        QemuImg.assumeInstalled();
        small = Files.createDirectory(directory.resolve("small"));
        HostCommand.run("mount", "-t", "tmpfs", "-o", "size=1m", "none", small.toString());
        long seed = Long.getLong("vublk.seed", System.nanoTime());
        System.out.println("seed " + seed);
        byte[] bytes = new byte[4 * MIB];
        new Random(seed).nextBytes(bytes);
        noise = Files.write(directory.resolve("noise.img"), bytes);
    }

    @AfterEach
    void unmount() throws Exception {
        HostCommand.run("umount", small.toString());
    }

    /** Runs a command in which {@code @} is the small file system: it must fail in one line that names that file. */
    private CapturedRun fail(String named, String command) {
        String[] arguments = command.replace("@", small + "/").split(" ");
        CapturedRun run = CapturedRun.of(arguments);
        assertThat(run.status()).as(run.toString()).isEqualTo(1);
        assertThat(run.err())
                .startsWith("vublk: " + small + "/" + named + ": ")
                .contains("No space left on device")
                .hasLineCount(1);
        return run;
    }

    private void assertFiles(String... names) throws IOException {
        try (Stream<Path> files = Files.list(small)) {
            assertThat(files.map(file -> String.valueOf(file.getFileName()))).containsExactlyInAnyOrder(names);
        }
    }

    private void fillUp() throws IOException {
        byte[] page = new byte[4096];
        try (OutputStream fill = Files.newOutputStream(small.resolve("fill"))) {
            while (true) {
                fill.write(page);
            }
        } catch (IOException full) {
            assertThat(full).hasMessageContaining("No space left");
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "create -o preallocation=full @a 8M",
                "create -o preallocation=falloc @a 8M",
                "create -f qcow2 -o preallocation=full @a 8M",
                "create -f qcow2 -o preallocation=falloc @a 8M",
                "create -f qcow2 -o preallocation=metadata,cluster_size=512 @a 64M",
                "convert -f raw NOISE @a",
                "convert -f raw -m 1 -o preallocation=falloc NOISE @a",
                "convert -f raw -O qcow2 NOISE @a",
                "convert -f raw -O qcow2 -c NOISE @a",
                "convert -f raw -O qcow2 --compress zstd NOISE @a",
                "convert -f raw --compress zlib NOISE @a",
            })
    void shouldLeaveNothingWhereNewImagesHaveNoRoom(String command) throws Exception {
        fail("a", command.replace("NOISE", noise.toString()));

        assertFiles();
    }

    @Test
    void shouldLeaveNoDataFileWithoutItsImage() throws Exception {
        fail("data", "create -f qcow2 -o preallocation=full,data_file=@data @a 8M");

        assertFiles();
    }

    @Test
    void shouldKeepWhatANewImageWouldHaveReplaced() throws Exception {
        Files.writeString(small.resolve("a"), "what was there before");

        fail("a", "convert -f raw -O qcow2 " + noise + " @a");
        fail("a", "create --force -o preallocation=full @a 8M");

        assertThat(small.resolve("a")).hasContent("what was there before");
        assertFiles("a");
    }

    @Test
    void shouldGoOnWhenThereIsRoomAgain() throws Exception {
        String command = "convert --resume -f raw " + noise + " @a";
        CapturedRun run = fail("a", command);

        assertThat(run.err()).endsWith("; what was copied is kept: the same command goes on with it\n");
        assertFiles(".a.part", ".a.part.journal");
        fail("a", command);
        HostCommand.run("mount", "-o", "remount,size=8m", small.toString());
        assertThat(CapturedRun.of(command.replace("@", small + "/").split(" ")).status())
                .isZero();
        assertThat(Files.mismatch(noise, small.resolve("a"))).isEqualTo(-1);
        assertFiles("a");
    }

    @ParameterizedTest
    @ValueSource(strings = {"full", "falloc"})
    void shouldLeaveARawImageAsLargeAsItWas(String preallocation) throws Exception {
        byte[] before = Arrays.copyOf(Files.readAllBytes(noise), 256 << 10);
        Path image = Files.write(small.resolve("a"), before);

        fail("a", "resize -f raw --preallocation " + preallocation + " @a 8M");

        assertThat(Files.readAllBytes(image)).isEqualTo(before);
    }

    @Test
    void shouldLeaveAQcow2ImageAsItWasWhenItCannotGrow() throws Exception {
        Path image = small.resolve("a");
        QemuImg.run("create", "-q", "-f", "qcow2", "-o", "cluster_size=512", image.toString(), "1M");
        fillUp();
        byte[] before = Files.readAllBytes(image);

        fail("a", "resize @a 64M");

        assertThat(Files.readAllBytes(image)).isEqualTo(before);
        QemuImg.assertClean(image);
        Files.delete(small.resolve("fill"));
        assertThat(CapturedRun.of("resize", image.toString(), "64M").status()).isZero();
        QemuImg.assertClean(image);
    }

    /** The refcount table names no block, so that a new one has to be written. */
    @Test
    void shouldLeaveADamagedImageAsItWasWhenItCannotBeRepaired() throws Exception {
        Path image = small.resolve("a");
        QemuImg.run("create", "-q", "-f", "qcow2", image.toString(), "8M");
        HostCommand.run("qemu-io", "-c", "write -P 5 0 256k", image.toString());
        try (RandomAccessFile file = new RandomAccessFile(image.toFile(), "rw")) {
            file.seek(65536);
            file.writeLong(0);
        }
        fillUp();
        byte[] before = Files.readAllBytes(image);

        CapturedRun run = CapturedRun.of("check", "--repair", "all", image.toString());

        assertThat(run.status()).as(run.toString()).isEqualTo(1);
        assertThat(run.err().lines().filter(line -> !line.startsWith("ERROR ")))
                .singleElement()
                .asString()
                .startsWith("vublk: " + image + ": cannot be written at offset ")
                .endsWith(": No space left on device");
        assertThat(Files.readAllBytes(image)).isEqualTo(before);
        Files.delete(small.resolve("fill"));
        assertThat(CapturedRun.of("check", "-q", "--repair", "all", image.toString())
                        .status())
                .isZero();
        QemuImg.assertClean(image);
        HostCommand.run("qemu-io", "-c", "read -P 5 0 256k", image.toString());
    }

    /** What is there is written in its place: half of the source is in it then, but it is an image still. */
    @Test
    void shouldLeaveAnImageThatIsWrittenInItsPlaceConsistent() throws Exception {
        Path image = small.resolve("a");
        QemuImg.run("create", "-q", "-f", "qcow2", image.toString(), "8M");

        fail("a", "convert -n -f raw -O qcow2 " + noise + " @a");

        QemuImg.assertClean(image);
    }

    @ParameterizedTest
    @ValueSource(strings = {"info NOISE", "info --json NOISE", "map NOISE", "map --json NOISE", "compare NOISE NOISE"})
    void shouldFailWhenItsReportIsLost(String command) {
        StringWriter err = new StringWriter();
        CommandLine line = VublkCommand.commandLine();
        line.setErr(new PrintWriter(err, true));
        line.setOut(new PrintWriter(new FullWriter(), true));

        int status = line.execute(command.replace("NOISE", noise.toString()).split(" "));

        assertThat(status).isEqualTo(command.startsWith("compare") ? 2 : 1);
        assertThat(err.toString()).endsWith("vublk: standard output: cannot be written\n");
    }

    private static final class FullWriter extends Writer {
        @Override
        public void write(char[] buffer, int offset, int length) throws IOException {
            throw new IOException("No space left on device");
        }

        @Override
        public void flush() {}

        @Override
        public void close() {}
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Whole processes that convert: streams, signals, kills, and disks that fail in the middle. */
@Timeout(180)
class ConvertIT {
    private static final int MIB = 1 << 20;

    /** Slow enough to be in the middle when a signal comes, and not so slow that the test takes long. */
    private static final String SLOWLY = "8M";

    @TempDir
    private Path directory;

    private Path source;

    @BeforeEach
    void createImage() throws Exception {
        long seed = Long.getLong("vublk.seed", System.nanoTime());
        System.out.println("seed " + seed);
        source = directory.resolve("a.img");
        byte[] noise = new byte[64 * MIB];
        new Random(seed).nextBytes(noise);
        try (FileChannel file = FileChannel.open(source, StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
            file.write(ByteBuffer.wrap(noise));
        }
    }

    private void assertFiles(String... names) throws Exception {
        try (Stream<Path> files = Files.list(directory)) {
            assertThat(files.map(file -> file.getFileName().toString()).filter(name -> !name.endsWith(".err")))
                    .containsExactlyInAnyOrder(names);
        }
    }

    private void shell(String command) throws Exception {
        HostCommand.run("sh", "-c", "cd '" + directory + "' && " + command.replace("vublk", VublkLauncher.script()));
    }

    private static JsonNode json(String line) throws Exception {
        return new ObjectMapper().readTree(line);
    }

    /** Some of it has been copied. */
    private static void awaitProgress(VublkLauncher vublk) throws Exception {
        while (json(vublk.awaitLine()).path("done").asLong() == 0) {
            // The next line says more.
        }
    }

    @Test
    void shouldReadAndWriteStreams() throws Exception {
        shell("vublk convert -f raw a.img - | cmp - a.img");
        shell("vublk convert -f raw - b.img < a.img && cmp a.img b.img");
        shell("vublk convert -f raw --compress zstd a.img - | vublk convert - c.img && cmp a.img c.img");
        shell("vublk convert -f raw --compress zlib:1 --progress=json a.img - 2>progress | gzip -dc | cmp - a.img"
                + " && tail -1 progress | grep -q '\"event\": \"done\"'");
    }

    @ParameterizedTest
    @ValueSource(strings = {"INT", "TERM"})
    void shouldLeaveNothingBehindAfterASignal(String signal) throws Exception {
        Path target = Files.writeString(directory.resolve("b.img"), "what was there before");
        for (String format : new String[] {"raw", "qcow2"}) {
            try (VublkLauncher vublk = VublkLauncher.start(
                    directory,
                    "convert",
                    "-f",
                    "raw",
                    "-O",
                    format,
                    "-r",
                    SLOWLY,
                    "--progress=json",
                    "a.img",
                    "b.img")) {
                awaitProgress(vublk);
                vublk.signal(signal);
                assertThat(vublk.awaitExit()).isEqualTo(signal.equals("INT") ? 130 : 143);
                assertThat(vublk.err()).isEqualTo("vublk: interrupted by SIG" + signal + "\n");
            }
            assertThat(target).hasContent("what was there before");
            assertFiles("a.img", "b.img");
        }
    }

    @Test
    void shouldEndWhenASignalComesWhileAStreamIsStuck() throws Exception {
        HostCommand.run("mkfifo", directory.resolve("fifo").toString());
        // Both ends open, so that neither of them ever gets to an end.
        try (FileChannel held =
                        FileChannel.open(directory.resolve("fifo"), StandardOpenOption.READ, StandardOpenOption.WRITE);
                VublkLauncher vublk = VublkLauncher.start(
                        directory,
                        java.util.Map.of(),
                        java.util.List.of(
                                "sh",
                                "-c",
                                "exec " + VublkLauncher.script() + " convert --progress=json -f raw - b.img < fifo"))) {
            held.write(ByteBuffer.allocate(65536));
            vublk.awaitLine();
            vublk.signal("TERM");
            assertThat(vublk.awaitExit()).isEqualTo(143);
        }
        assertFiles("a.img", "fifo");
    }

    @ParameterizedTest
    @ValueSource(strings = {"KILL", "INT"})
    void shouldGoOnWhereItWasInterrupted(String signal) throws Exception {
        Path journal = directory.resolve(".b.img.part.journal");
        String[] slowly = {"convert", "--resume", "-f", "raw", "-r", SLOWLY, "--progress=json", "a.img", "b.img"};
        try (VublkLauncher vublk = VublkLauncher.start(directory, slowly)) {
            while (!Files.exists(journal) || Files.readString(journal).endsWith("done 0\n")) {
                assertThat(json(vublk.awaitLine()).path("event").asText()).isEqualTo("progress");
            }
            vublk.signal(signal);
            assertThat(vublk.awaitExit()).isEqualTo(signal.equals("INT") ? 130 : 137);
        }
        assertThat(directory.resolve("b.img")).doesNotExist();
        CapturedRun rest = VublkLauncher.run(directory, "convert", "--resume", "-f", "raw", "--json", "a.img", "b.img");
        assertThat(rest.status()).as(rest.toString()).isZero();
        assertThat(json(rest.out()).path("data-bytes").asLong()).isBetween(1L, 63L * MIB);
        assertThat(Files.mismatch(source, directory.resolve("b.img"))).isEqualTo(-1);
        assertFiles("a.img", "b.img");
    }

    @Test
    void shouldNotGoOnFromAnotherSource() throws Exception {
        try (VublkLauncher vublk = VublkLauncher.start(
                directory, "convert", "--resume", "-f", "raw", "-r", SLOWLY, "--progress=json", "a.img", "b.img")) {
            awaitProgress(vublk);
            vublk.signal("INT");
            assertThat(vublk.awaitExit()).isEqualTo(130);
            assertThat(vublk.err()).endsWith("; what was copied is kept: the same command goes on with it\n");
        }
        Files.writeString(source, "x", StandardOpenOption.WRITE);
        CapturedRun refused = VublkLauncher.run(directory, "convert", "--resume", "-f", "raw", "a.img", "b.img");
        assertThat(refused.status()).isEqualTo(1);
        assertThat(refused.err())
                .hasLineCount(1)
                .contains("the source has changed, or other options were given then")
                .contains("remove it and .b.img.part to start anew");
        assertFiles("a.img", ".b.img.part", ".b.img.part.journal");
    }

    @Test
    void shouldFailInOneLineWhenTheSourceIsCutOffMeanwhile() throws Exception {
        try (VublkLauncher vublk = VublkLauncher.start(
                directory, "convert", "-f", "raw", "-r", SLOWLY, "--progress=json", "a.img", "b.img")) {
            awaitProgress(vublk);
            HostCommand.run("truncate", "-s", "1M", source.toString());
            assertThat(vublk.awaitExit()).isEqualTo(1);
            assertThat(vublk.err()).hasLineCount(1).contains("vublk: a.img: cannot be read at offset ");
        }
        assertFiles("a.img");
    }

    @Test
    void shouldWriteToABlockDevice() throws Exception {
        assumeTrue(HostCommand.run("id", "-u").equals("0"), "loop devices need root");
        HostCommand.sparse(directory.resolve("disk"), 80 * MIB);
        String loop = HostCommand.run(
                "losetup", "--find", "--show", directory.resolve("disk").toString());
        try {
            CapturedRun raw = VublkLauncher.run(directory, "convert", "-f", "raw", "a.img", loop);
            assertThat(raw.status()).as(raw.toString()).isZero();
            HostCommand.run("cmp", "-n", String.valueOf(64 * MIB), source.toString(), loop);
            CapturedRun packed =
                    VublkLauncher.run(directory, "convert", "-c", "-f", "raw", "-O", "qcow2", "a.img", loop);
            assertThat(packed.status()).as(packed.toString()).isZero();
            HostCommand.run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", source.toString(), loop);
        } finally {
            HostCommand.run("losetup", "-d", loop);
        }
    }
}

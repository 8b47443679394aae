// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code vublk map} and {@code compare} beside QEMU's, on chains of random images. */
class MapCommandTest {
    private static final int ROUNDS = Integer.getInteger("vublk.map.rounds", 6);
    private static final long SIZE_BYTES = 16 << 20;
    private static final List<String> OPTIONS = List.of(
            "cluster_size=65536",
            "cluster_size=4096",
            "cluster_size=512",
            "compat=0.10",
            "extended_l2=on",
            "compression_type=zstd,cluster_size=65536",
            "preallocation=metadata");

    @TempDir
    private Path directory;

    @BeforeEach
    void needQemu() throws InterruptedException {
        QemuImg.assumeInstalled();
    }

    /** A chain of one to three images; the top one. */
    private Path chain(Random random) throws IOException, InterruptedException {
        Path below = directory.resolve("0.raw");
        HostCommand.sparse(below, SIZE_BYTES - (random.nextBoolean() ? 0 : 1 << 20));
        write(below, "raw", random);
        String format = "raw";
        int depth = 1 + random.nextInt(3);
        for (int i = 1; i <= depth; i++) {
            Path image = directory.resolve(i + ".qcow2");
            Files.deleteIfExists(image);
            boolean backed = i > 1 || random.nextBoolean();
            String options = OPTIONS.get(random.nextInt(backed ? OPTIONS.size() - 1 : OPTIONS.size()));
            List<String> command = new ArrayList<>(List.of("create", "-q", "-f", "qcow2", "-o", options));
            if (backed) {
                command.addAll(List.of("-b", below.toString(), "-F", format));
            }
            command.addAll(List.of(image.toString(), Long.toString(SIZE_BYTES)));
            QemuImg.run(command.toArray(String[]::new));
            write(image, "qcow2", random);
            below = image;
            format = "qcow2";
        }
        return below;
    }

    private static void write(Path image, String format, Random random) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of("qemu-io", "-f", format, "-d", "unmap"));
        long end = Math.min(SIZE_BYTES, format.equals("raw") ? Files.size(image) : SIZE_BYTES);
        for (int i = 0; i < 20; i++) {
            long length = 512L * (1 + random.nextInt(400));
            long offset = 512L * random.nextLong((end - length) / 512);
            command.add("-c");
            command.add(
                    switch (random.nextInt(format.equals("raw") ? 5 : 7)) {
                        case 0 -> "write -z " + offset + " " + length;
                        case 1 -> "write -z -u " + offset + " " + length;
                        case 2 -> "discard " + offset + " " + length;
                        case 5, 6 -> "write -c -P 7 " + (offset & -65536L) + " 65536";
                        default -> "write -P " + (1 + random.nextInt(255)) + " " + offset + " " + length;
                    });
        }
        command.add(image.toString());
        HostCommand.succeeds(command.toArray(String[]::new)); // Discards and compressed writes may be refused.
    }

    /** What a map says of each sector; holes in allocated clusters apart, for which QEMU looks only when it suspects some. */
    private static List<String> sectors(JsonNode extents) {
        List<String> sectors = new ArrayList<>();
        for (JsonNode extent : extents) {
            for (long at = 0; at < extent.get("length").longValue(); at += 512) {
                boolean data = extent.get("data").booleanValue();
                sectors.add("depth " + extent.get("depth") + " present " + extent.get("present") + " data " + data
                        + (data ? "" : " zero " + extent.get("zero"))
                        + (data && extent.has("offset")
                                ? " at " + (extent.get("offset").longValue() + at)
                                : ""));
            }
        }
        return sectors;
    }

    /** Which sectors a map calls zeroes. */
    private static BitSet zeroes(JsonNode extents) {
        BitSet zeroes = new BitSet();
        for (JsonNode extent : extents) {
            int first = (int) (extent.get("start").longValue() / 512);
            if (extent.get("zero").booleanValue()) {
                zeroes.set(first, first + (int) (extent.get("length").longValue() / 512));
            }
        }
        return zeroes;
    }

    private BitSet zeroSectors(Path image) throws Exception {
        Path raw = directory.resolve("content.raw");
        QemuImg.run("convert", "-O", "raw", image.toString(), raw.toString());
        byte[] content = Files.readAllBytes(raw);
        BitSet zeroes = new BitSet();
        for (int at = 0; at < content.length; at += 512) {
            zeroes.set(at / 512, Arrays.mismatch(content, at, at + 512, new byte[512], 0, 512) < 0);
        }
        return zeroes;
    }

    @Test
    void shouldMapAsQemu() throws Exception {
        for (int round = 0; round < ROUNDS; round++) {
            long seed = Long.getLong("vublk.map.seed", new Random().nextLong());
            Path image = chain(new Random(seed));

            CapturedRun run = CapturedRun.of("map", "--output=json", image.toString());

            assertThat(run.err()).isEmpty();
            JsonNode ours = new ObjectMapper().readTree(run.out());
            JsonNode theirs =
                    new ObjectMapper().readTree(HostCommand.run("qemu-img", "map", "--output=json", image.toString()));
            List<String> expected = sectors(theirs);
            List<String> actual = sectors(ours);
            assertThat(actual).as("seed %d", seed).hasSameSizeAs(expected);
            for (int i = 0; i < actual.size(); i++) {
                assertThat(actual.get(i)).as("seed %d, sector %d", seed, i).isEqualTo(expected.get(i));
            }
            BitSet missing = zeroes(theirs);
            missing.andNot(zeroes(ours));
            assertThat(missing.cardinality())
                    .as("seed %d: zeroes only QEMU sees", seed)
                    .isZero();
            BitSet wrong = zeroes(ours);
            wrong.andNot(zeroSectors(image));
            assertThat(wrong.cardinality())
                    .as("seed %d: zeroes that are none", seed)
                    .isZero();
        }
    }

    @Test
    void shouldMapForPeople() throws Exception {
        Path image = directory.resolve("a.qcow2");
        QemuImg.run("create", "-q", "-f", "qcow2", image.toString(), "1M");
        HostCommand.run("qemu-io", "-c", "write 64k 128k", "-c", "write -z 512k 64k", image.toString());

        CapturedRun run = CapturedRun.of("map", image.toString());

        assertThat(run.out()).isEqualTo(HostCommand.run("qemu-img", "map", image.toString()) + "\n");
    }

    @Test
    void shouldCompareAsQemu() throws Exception {
        for (int round = 0; round < ROUNDS; round++) {
            long seed = Long.getLong("vublk.map.seed", new Random().nextLong());
            Random random = new Random(seed);
            Path image = chain(random);
            Path copy = directory.resolve("copy.img");
            QemuImg.run("convert", "-O", random.nextBoolean() ? "raw" : "qcow2", image.toString(), copy.toString());

            assertThat(CapturedRun.of("compare", image.toString(), copy.toString()))
                    .as("seed %d", seed)
                    .isEqualTo(new CapturedRun(0, "Images are identical.\n", ""));

            long offset = 512L * random.nextLong(SIZE_BYTES / 512);
            HostCommand.run("qemu-io", "-c", "write -P 0xa5 " + offset + " 512", copy.toString());
            String[] theirs = qemuCompare(image, copy);
            CapturedRun differ = CapturedRun.of("compare", image.toString(), copy.toString());
            assertThat(String.valueOf(differ.status())).as("seed %d", seed).isEqualTo(theirs[0]);
            assertThat(differ.out().strip()).as("seed %d", seed).isEqualTo(theirs[1]);
            assertThat(CapturedRun.of("compare", copy.toString(), image.toString())
                            .status())
                    .isEqualTo(differ.status());
        }
    }

    private static String[] qemuCompare(Path first, Path second) throws Exception {
        Process process = new ProcessBuilder("qemu-img", "compare", first.toString(), second.toString()).start();
        String out = new String(process.getInputStream().readAllBytes(), java.nio.charset.StandardCharsets.UTF_8);
        return new String[] {String.valueOf(process.waitFor()), out.strip()};
    }

    @Test
    void shouldCompareSizes() throws Exception {
        Path small = HostCommand.sparse(directory.resolve("small.raw"), 1 << 20);
        Path large = HostCommand.sparse(directory.resolve("large.raw"), 3 << 20);

        assertThat(CapturedRun.of("compare", small.toString(), large.toString()))
                .isEqualTo(new CapturedRun(0, "Warning: Image size mismatch!\nImages are identical.\n", ""));
        assertThat(CapturedRun.of("compare", "-s", small.toString(), large.toString()))
                .isEqualTo(new CapturedRun(1, "Strict mode: Image size mismatch!\n", ""));
        HostCommand.run("qemu-io", "-f", "raw", "-c", "write -P 1 2M 1k", large.toString());
        assertThat(CapturedRun.of("compare", "-q", large.toString(), small.toString()))
                .isEqualTo(new CapturedRun(1, "", ""));
        assertThat(CapturedRun.of("compare", large.toString(), small.toString()).out())
                .endsWith("Content mismatch at offset 2097152!\n");
    }

    @Test
    void shouldRefuseInOneLine() throws Exception {
        Path image = directory.resolve("a.qcow2");
        Path other = directory.resolve("b.qcow2");
        QemuImg.run("create", "-q", "-f", "qcow2", other.toString(), "1M");
        QemuImg.run("create", "-q", "-f", "qcow2", "-b", other.toString(), "-F", "qcow2", image.toString());
        QemuImg.run("rebase", "-u", "-b", image.toString(), "-F", "qcow2", other.toString());

        CapturedRun loop = CapturedRun.of("map", image.toString());
        assertThat(loop.status()).isEqualTo(1);
        assertThat(loop.err()).hasLineCount(1);
        assertThat(CapturedRun.of("info", "--backing-chain", image.toString()).err())
                .contains("comes back to this image")
                .hasLineCount(1);
        CapturedRun compared = CapturedRun.of("compare", image.toString(), image.toString());
        assertThat(compared.status()).isEqualTo(2);
        assertThat(compared.err()).hasLineCount(1);
        assertThat(CapturedRun.of("compare", "/no/such/file", image.toString()).status())
                .isEqualTo(2);
    }
}

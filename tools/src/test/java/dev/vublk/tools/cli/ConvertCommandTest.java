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
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Images of every kind made from images of every kind, and what qemu-img says of them; and everything that may be wrong. */
class ConvertCommandTest {
    private static final int MIB = 1 << 20;

    @TempDir
    private Path directory;

    private Random random;

    @BeforeEach
    void seed() throws Exception {
        assumeTrue(HostCommand.succeeds("qemu-img", "--version"), "no qemu-img");
        long seed = Long.getLong("vublk.seed", System.nanoTime());
        System.out.println("seed " + seed);
        random = new Random(seed);
    }

    private String path(String name) {
        return directory.resolve(name).toString();
    }

    private Path randomImage(String name) throws Exception {
        return RandomImage.create(directory.resolve(name), random, 1 + random.nextInt(8 * MIB));
    }

    private static CapturedRun convert(String... arguments) {
        List<String> all = new ArrayList<>(List.of("convert"));
        all.addAll(List.of(arguments));
        return CapturedRun.of(all.toArray(String[]::new));
    }

    private static void convertWell(String... arguments) {
        CapturedRun run = convert(arguments);
        assertThat(run.status()).as(run.toString()).isZero();
        assertThat(run.err()).isEmpty();
    }

    private void assertSame(String first, String firstFormat, String second, String secondFormat) throws Exception {
        HostCommand.run("qemu-img", "compare", "-f", firstFormat, "-F", secondFormat, path(first), path(second));
        HostCommand.run("qemu-img", "compare", "-f", secondFormat, "-F", firstFormat, path(second), path(first));
    }

    private void assertClean(String image) throws Exception {
        HostCommand.run("qemu-img", "check", "-f", "qcow2", path(image));
    }

    /** Only these files are there: nothing half-written was left. */
    private void assertFiles(String... names) throws Exception {
        try (Stream<Path> files = Files.list(directory)) {
            assertThat(files.map(file -> file.getFileName().toString())).containsExactlyInAnyOrder(names);
        }
    }

    private CapturedRun convertBadly(String... arguments) {
        CapturedRun run = convert(arguments);
        assertThat(run.status()).as(run.toString()).isEqualTo(1);
        assertThat(run.err()).hasLineCount(1);
        return run;
    }

    @Test
    void shouldCopyRawToRawWithItsHoles() throws Exception {
        randomImage("a.img");
        convertWell("-f", "raw", path("a.img"), path("b.img"));
        assertSame("a.img", "raw", "b.img", "raw");
        assertThat(blocks("b.img")).isLessThanOrEqualTo(blocks("a.img"));
        assertFiles("a.img", "b.img");
    }

    private long blocks(String name) throws Exception {
        return Long.parseLong(HostCommand.run("stat", "-c", "%b", path(name)));
    }

    @ParameterizedTest
    @ValueSource(strings = {"off", "falloc", "full"})
    void shouldPreallocateRawImages(String preallocation) throws Exception {
        randomImage("a.img");
        convertWell("-f", "raw", "-o", "preallocation=" + preallocation, path("a.img"), path("b.img"));
        assertSame("a.img", "raw", "b.img", "raw");
        if (!preallocation.equals("off")) {
            assertThat(blocks("b.img") * 512).isGreaterThanOrEqualTo(Files.size(directory.resolve("b.img")));
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "compat=1.1",
                "compat=0.10",
                "cluster_size=512",
                "cluster_size=2M",
                "cluster_size=4096,refcount_bits=1",
                "refcount_bits=2",
                "refcount_bits=64,cluster_size=1k",
                "extended_l2=on",
                "extended_l2=on,cluster_size=16k",
                "lazy_refcounts=on"
            })
    void shouldMakeQcow2OfRaw(String options) throws Exception {
        randomImage("a.img");
        convertWell("-f", "raw", "-O", "qcow2", "-o", options, "-m", "3", path("a.img"), path("b.qcow2"));
        assertSame("a.img", "raw", "b.qcow2", "qcow2");
        assertClean("b.qcow2");
        assertFiles("a.img", "b.qcow2");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "compression_type=zlib",
                "compression_type=zstd",
                "compression_type=zstd,cluster_size=2M",
                "compression_type=zlib,cluster_size=512,refcount_bits=1",
                "compression_type=zstd,cluster_size=4k,refcount_bits=4",
                "compression_type=zlib,extended_l2=on,cluster_size=32k",
                "compat=0.10"
            })
    void shouldMakeCompressedQcow2(String options) throws Exception {
        randomImage("a.img");
        convertWell("-f", "raw", "-c", "-O", "qcow2", "-o", options, path("a.img"), path("b.qcow2"));
        assertSame("a.img", "raw", "b.qcow2", "qcow2");
        assertClean("b.qcow2");
    }

    @Test
    void shouldStoreBlocksWhenThreadsAreBusy() throws Exception {
        randomImage("a.img");
        convertWell(
                "-f",
                "raw",
                "-O",
                "qcow2",
                "--compress",
                "zlib:9",
                "--when-busy=store",
                "-m",
                "1",
                path("a.img"),
                path("b.qcow2"));
        assertSame("a.img", "raw", "b.qcow2", "qcow2");
        assertClean("b.qcow2");
    }

    @ParameterizedTest
    @ValueSource(strings = {"cluster_size=64k", "cluster_size=4k", "extended_l2=on", "compat=0.10", "compressed"})
    void shouldCopyOnlyWhatDiffersFromTheBackingFile(String options) throws Exception {
        RandomImage.create(directory.resolve("base.img"), random, 6 * MIB);
        Files.copy(directory.resolve("base.img"), directory.resolve("a.img"));
        RandomImage.change(directory.resolve("a.img"), random, 5);
        List<String> arguments = new ArrayList<>(List.of("-f", "raw", "-O", "qcow2", "-B", "base.img", "-F", "raw"));
        arguments.addAll(options.equals("compressed") ? List.of("-c") : List.of("-o", options));
        arguments.addAll(List.of(path("a.img"), path("b.qcow2")));
        convertWell(arguments.toArray(String[]::new));
        assertSame("a.img", "raw", "b.qcow2", "qcow2");
        assertClean("b.qcow2");
        JsonNode check =
                new ObjectMapper().readTree(HostCommand.run("qemu-img", "check", "--output=json", path("b.qcow2")));
        assertThat(check.path("allocated-clusters").asLong())
                .as("clusters with data of their own")
                .isLessThan(check.path("total-clusters").asLong() / 2);
    }

    @Test
    void shouldTellZeroesFromABackingFilesData() throws Exception {
        RandomImage.create(directory.resolve("base.img"), random, 5 * MIB);
        HostCommand.sparse(directory.resolve("a.img"), 8 * MIB);
        convertWell("-f", "raw", "-O", "qcow2", "-B", "base.img", "-F", "raw", path("a.img"), path("b.qcow2"));
        assertSame("a.img", "raw", "b.qcow2", "qcow2");
        assertClean("b.qcow2");
    }

    /** An image of {@code a.img} that qemu-img has made. */
    private void createSource(String kind) throws Exception {
        randomImage("a.img");
        List<String> command = new ArrayList<>(List.of("qemu-img", "convert", "-f", "raw", "-O", "qcow2"));
        switch (kind) {
            case "zlib", "zstd" -> command.addAll(List.of("-c", "-o", "compression_type=" + kind));
            case "backing" -> {
                Files.copy(directory.resolve("a.img"), directory.resolve("base.img"));
                RandomImage.change(directory.resolve("base.img"), random, 4);
                command.addAll(List.of("-B", "base.img", "-F", "raw"));
            }
            default -> command.addAll(List.of("-o", kind));
        }
        command.addAll(List.of(path("a.img"), path("a.qcow2")));
        HostCommand.run(command.toArray(String[]::new));
    }

    @ParameterizedTest
    @ValueSource(strings = {"cluster_size=64k", "cluster_size=512", "extended_l2=on", "zlib", "zstd", "backing"})
    void shouldReadQcow2(String kind) throws Exception {
        createSource(kind);
        convertWell("-f", "qcow2", path("a.qcow2"), path("b.img"));
        assertSame("a.qcow2", "qcow2", "b.img", "raw");
        convertWell("-f", "qcow2", "-O", "qcow2", path("a.qcow2"), path("b.qcow2"));
        assertSame("a.qcow2", "qcow2", "b.qcow2", "qcow2");
        assertClean("b.qcow2");
        convertWell("-c", "-O", "qcow2", path("a.qcow2"), path("c.qcow2"));
        assertSame("a.qcow2", "qcow2", "c.qcow2", "qcow2");
        assertClean("c.qcow2");
    }

    @Test
    void shouldReadAnInternalSnapshot() throws Exception {
        createSource("cluster_size=64k");
        HostCommand.run("qemu-img", "snapshot", "-c", "before", path("a.qcow2"));
        HostCommand.run("qemu-io", "-f", "qcow2", "-c", "write -P 7 0 512", path("a.qcow2"));
        convertWell("-l", "before", "-f", "qcow2", path("a.qcow2"), path("b.img"));
        assertSame("a.img", "raw", "b.img", "raw");
    }

    @Test
    void shouldRefuseABackingFileThatIsMissingOrItself() throws Exception {
        createSource("backing");
        Files.delete(directory.resolve("base.img"));
        assertThat(convertBadly(path("a.qcow2"), path("b.img")).err()).contains("base.img");
        HostCommand.run("qemu-img", "rebase", "-u", "-b", "a.qcow2", "-F", "qcow2", path("a.qcow2"));
        convertBadly(path("a.qcow2"), path("b.img"));
        assertFiles("a.img", "a.qcow2");
    }

    @Test
    void shouldNeverReplaceABackingFileOfItsSource() throws Exception {
        createSource("backing");
        byte[] before = Files.readAllBytes(directory.resolve("base.img"));
        convertBadly(path("a.qcow2"), path("base.img"));
        assertThat(Files.readAllBytes(directory.resolve("base.img"))).isEqualTo(before);
        assertFiles("a.img", "a.qcow2", "base.img");
    }

    /** Compressed data that ends too early; of data that is stored plainly and is missing QEMU says that it is zeroes, and so do we. */
    @Test
    void shouldFailInOneLineWhereACompressedImageIsCutOff() throws Exception {
        StringBuilder text = new StringBuilder();
        while (text.length() < 4 * MIB) {
            text.append(random.nextInt()).append(" bottles of beer on the wall\n");
        }
        Files.writeString(directory.resolve("a.img"), text);
        HostCommand.run("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", path("a.img"), path("a.qcow2"));
        long half = Files.size(directory.resolve("a.qcow2")) / 2;
        HostCommand.run("truncate", "-s", String.valueOf(half), path("a.qcow2"));
        CapturedRun run = convertBadly("-f", "qcow2", path("a.qcow2"), path("b.img"));
        assertThat(run.err()).startsWith("vublk: " + path("a.qcow2") + ": cannot be read at offset ");
        assertFiles("a.img", "a.qcow2");
    }

    @ParameterizedTest
    @ValueSource(strings = {"gzip", "zstd"})
    void shouldMakeStreamsThatTheirProgramsUnpack(String program) throws Exception {
        assumeTrue(HostCommand.succeeds(program, "--version"), "no " + program);
        RandomImage.create(directory.resolve("a.img"), random, 512 * (1 + random.nextInt(8192)));
        convertWell("-f", "raw", "--compress", program, path("a.img"), path("b.packed"));
        HostCommand.run("sh", "-c", program + " -dc '" + path("b.packed") + "' > '" + path("c.img") + "'");
        assertThat(Files.mismatch(directory.resolve("a.img"), directory.resolve("c.img")))
                .isEqualTo(-1);
    }

    @ParameterizedTest
    @ValueSource(strings = {"gzip", "zstd"})
    void shouldReadStreamsOfTheirPrograms(String program) throws Exception {
        assumeTrue(HostCommand.succeeds(program, "--version"), "no " + program);
        randomImage("a.img");
        HostCommand.run("sh", "-c", program + " -c '" + path("a.img") + "' > '" + path("a.packed") + "'");
        convertWell("-O", "qcow2", path("a.packed"), path("b.qcow2"));
        assertSame("a.img", "raw", "b.qcow2", "qcow2");
        assertClean("b.qcow2");
        HostCommand.run("truncate", "-s", "-6", path("a.packed"));
        CapturedRun run = convertBadly(path("a.packed"), path("c.img"));
        assertThat(run.err()).startsWith("vublk: " + path("a.packed") + ": cannot be read: ");
        assertThat(directory.resolve("c.img")).doesNotExist();
    }

    /** Blocks of ours are unpacked in parallel; what follows them, and is not of ours, one after the other. */
    @ParameterizedTest
    @ValueSource(strings = {"gzip", "zstd"})
    void shouldReadStreamsWhoseBlocksAreOfAllKinds(String program) throws Exception {
        assumeTrue(HostCommand.succeeds(program, "--version"), "no " + program);
        int wholeBytes = MIB * (1 + random.nextInt(5));
        RandomImage.create(directory.resolve("a"), random, wholeBytes);
        RandomImage.create(directory.resolve("b"), random, 512 * (1 + random.nextInt(6000)));
        convertWell("-f", "raw", "--compress", program, path("a"), path("a.packed"));
        HostCommand.run("sh", "-c", program + " -c '" + path("b") + "' > '" + path("b.packed") + "'");
        convertWell("-f", "raw", "--compress", program, path("b"), path("b.ours"));
        for (String files : new String[] {"a", "a b", "b a", "a a b a"}) {
            concatenate(files, "", "expected");
            concatenate(files, ".packed", "packed");
            concatenate(files.replace("b", "b.ours").replace("a", "a.packed"), "", "ours");
            for (String packed : new String[] {"packed", "ours"}) {
                convertWell("-m", String.valueOf(1 + random.nextInt(4)), path(packed), path("c.img"));
                assertThat(Files.mismatch(directory.resolve("expected"), directory.resolve("c.img")))
                        .as(files + " " + packed)
                        .isEqualTo(-1);
            }
        }
    }

    private void concatenate(String files, String suffix, String result) throws Exception {
        StringBuilder command = new StringBuilder("cat");
        for (String file : files.split(" ", -1)) {
            command.append(" '").append(path(file + suffix)).append('\'');
        }
        HostCommand.run("sh", "-c", command + " > '" + path(result) + "'");
    }

    @ParameterizedTest
    @ValueSource(strings = {"gzip", "zstd"})
    void shouldRefuseDamagedStreamsOfOurs(String program) throws Exception {
        RandomImage.create(directory.resolve("a.img"), random, 5 * MIB);
        convertWell("-f", "raw", "--compress", program, path("a.img"), path("whole"));
        byte[] whole = Files.readAllBytes(directory.resolve("whole"));
        for (int round = 0; round < 20; round++) {
            byte[] damaged = random.nextBoolean()
                    ? Arrays.copyOf(whole, 5 + random.nextInt(whole.length - 5))
                    : withDamage(whole);
            Files.write(directory.resolve("damaged"), damaged);
            CapturedRun run = convert(path("damaged"), path("b.img"));
            // What damage leaves as it was is right all the same: a frame that ends where the stream was cut, a field
            // without meaning.
            if (run.status() == 0) {
                byte[] image = Files.readAllBytes(directory.resolve("b.img"));
                byte[] original = Files.readAllBytes(directory.resolve("a.img"));
                assertThat(Arrays.mismatch(image, 0, image.length, original, 0, image.length))
                        .as("round " + round)
                        .isEqualTo(-1);
                Files.delete(directory.resolve("b.img"));
            } else {
                assertThat(run.status()).as(run.toString()).isEqualTo(1);
                assertThat(run.err()).hasLineCount(1).contains(": cannot be read: ");
            }
            assertFiles("a.img", "whole", "damaged");
        }
    }

    private byte[] withDamage(byte[] whole) {
        byte[] damaged = whole.clone();
        // Behind the magic number: without it these are the bytes of a raw disk.
        int at = 4 + random.nextInt(whole.length - 4);
        damaged[at] ^= (byte) (1 << random.nextInt(8));
        return damaged;
    }

    @ParameterizedTest
    @ValueSource(strings = {"-t unsafe", "-t writethrough", "-T none", "-T none -O qcow2", "-t unsafe -O qcow2 -c"})
    void shouldTakeCacheModes(String options) throws Exception {
        randomImage("a.img");
        List<String> arguments = new ArrayList<>(List.of("-f", "raw"));
        arguments.addAll(List.of(options.split(" ")));
        arguments.addAll(List.of(path("a.img"), path("b.img")));
        convertWell(arguments.toArray(String[]::new));
        assertSame("a.img", "raw", "b.img", options.contains("qcow2") ? "qcow2" : "raw");
        assertFiles("a.img", "b.img");
    }

    @Test
    void shouldWritePastThePageCacheWhereTheTargetIsThere() throws Exception {
        randomImage("a.img");
        long sizeBytes = (Files.size(directory.resolve("a.img")) + 4095) / 4096 * 4096;
        HostCommand.run("truncate", "-s", String.valueOf(sizeBytes), path("b.img"));
        convertWell("-f", "raw", "-n", "-t", "none", path("a.img"), path("b.img"));
        assertSame("a.img", "raw", "b.img", "raw");
        CapturedRun run = convert("-f", "raw", "-t", "none", path("a.img"), path("c.img"));
        assertThat(run.status()).isEqualTo(2);
        assertThat(run.err()).startsWith("vublk: -t none: ");
        assertFiles("a.img", "b.img");
    }

    @Test
    void shouldReplaceAFileAndKeepItsMode() throws Exception {
        randomImage("a.img");
        randomImage("b.img");
        Files.setPosixFilePermissions(directory.resolve("b.img"), PosixFilePermissions.fromString("rw-r-----"));
        convertWell("-f", "raw", path("a.img"), path("b.img"));
        assertSame("a.img", "raw", "b.img", "raw");
        assertThat(Files.getPosixFilePermissions(directory.resolve("b.img")))
                .isEqualTo(PosixFilePermissions.fromString("rw-r-----"));
    }

    @Test
    void shouldReplaceWhatASymbolicLinkPointsTo() throws Exception {
        randomImage("a.img");
        randomImage("b.img");
        Files.createSymbolicLink(directory.resolve("link.img"), Path.of("b.img"));
        convertWell("-f", "raw", path("a.img"), path("link.img"));
        assertThat(directory.resolve("link.img")).isSymbolicLink();
        assertSame("a.img", "raw", "b.img", "raw");
    }

    @Test
    void shouldWriteIntoAFileThatIsThere() throws Exception {
        RandomImage.create(directory.resolve("a.img"), random, 3 * MIB);
        RandomImage.create(directory.resolve("b.img"), random, 4 * MIB);
        long inode = (long) Files.getAttribute(directory.resolve("b.img"), "unix:ino");
        convertWell("-n", "-f", "raw", path("a.img"), path("b.img"));
        HostCommand.run("cmp", "-n", String.valueOf(3 * MIB), path("a.img"), path("b.img"));
        assertThat(Files.size(directory.resolve("b.img"))).isEqualTo(4 * MIB);
        assertThat(Files.getAttribute(directory.resolve("b.img"), "unix:ino")).isEqualTo(inode);
    }

    @Test
    void shouldNotWriteZeroesToATargetThatIsZero() throws Exception {
        RandomImage.create(directory.resolve("a.img"), random, 3 * MIB);
        HostCommand.sparse(directory.resolve("b.img"), 3 * MIB);
        convertWell("-n", "--target-is-zero", "-f", "raw", path("a.img"), path("b.img"));
        assertSame("a.img", "raw", "b.img", "raw");
        assertThat(blocks("b.img")).isLessThanOrEqualTo(blocks("a.img"));
    }

    @Test
    void shouldRefuseATargetThatIsTooSmall() throws Exception {
        HostCommand.sparse(directory.resolve("a.img"), 2 * MIB);
        HostCommand.sparse(directory.resolve("b.img"), MIB);
        assertThat(convertBadly("-n", "-f", "raw", path("a.img"), path("b.img")).err())
                .isEqualTo("vublk: " + path("b.img") + ": is too small: it has 1048576 bytes, the source 2097152\n");
    }

    @Test
    void shouldShowProgressAsJson() throws Exception {
        randomImage("a.img");
        CapturedRun run = convert("--progress=json", "-f", "raw", path("a.img"), path("b.img"));
        assertThat(run.status()).as(run.toString()).isZero();
        List<String> lines = run.out().lines().toList();
        JsonNode last = new ObjectMapper().readTree(lines.getLast());
        assertThat(last.path("event").asText()).isEqualTo("done");
        assertThat(last.path("done").asLong())
                .isEqualTo(last.path("total").asLong())
                .isEqualTo(last.path("data").asLong() + last.path("zero").asLong());
    }

    @Test
    void shouldRefuseASourceThatIsMissing() throws Exception {
        assertThat(convertBadly("-f", "raw", path("a.img"), path("b.img")).err())
                .isEqualTo("vublk: " + path("a.img") + ": cannot be opened: No such file or directory\n");
        assertFiles();
    }

    @Test
    void shouldRefuseADirectoryThatIsMissing() throws Exception {
        randomImage("a.img");
        assertThat(convertBadly("-f", "raw", path("a.img"), path("there/b.img")).err())
                .isEqualTo("vublk: " + path("there/b.img") + ": its directory does not exist\n");
    }

    @Test
    void shouldNeverReplaceItsSource() throws Exception {
        Path source = randomImage("a.img");
        byte[] before = Files.readAllBytes(source);
        Files.createLink(directory.resolve("b.img"), source);
        for (String target : new String[] {"a.img", "b.img"}) {
            for (String format : new String[] {"raw", "qcow2"}) {
                assertThat(convertBadly("-U", "-f", "raw", "-O", format, path("a.img"), path(target))
                                .err())
                        .isEqualTo("vublk: " + path(target) + ": is the source itself\n");
            }
        }
        assertThat(Files.readAllBytes(source)).isEqualTo(before);
        assertFiles("a.img", "b.img");
    }

    @Test
    void shouldRefuseATargetThatIsInUse() throws Exception {
        randomImage("a.img");
        Path used = randomImage("b.img");
        byte[] before = Files.readAllBytes(used);
        try (var holder = dev.vublk.blockdev.file.OfflineFile.open(used.toString(), true, false)) {
            assertThat(holder.name()).isEqualTo(used.toString());
            CapturedRun run = convertBadly("-f", "raw", path("a.img"), path("b.img"));
            assertThat(run.err()).startsWith("vublk: " + used + ": image is in use: ");
        }
        assertThat(Files.readAllBytes(used)).isEqualTo(before);
        assertFiles("a.img", "b.img");
    }

    @Test
    void shouldLeaveNothingBehindOnAFullDisk() throws Exception {
        assumeTrue(HostCommand.run("id", "-u").equals("0"), "mounting needs root");
        try (FileChannel file =
                FileChannel.open(directory.resolve("a.img"), StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
            byte[] noise = new byte[4 * MIB];
            random.nextBytes(noise);
            file.write(ByteBuffer.wrap(noise));
        }
        Path small = Files.createDirectory(directory.resolve("small"));
        HostCommand.run("mount", "-t", "tmpfs", "-o", "size=2m", "none", small.toString());
        try {
            for (String format : new String[] {"raw", "qcow2"}) {
                CapturedRun run = convertBadly("-f", "raw", "-O", format, path("a.img"), path("small/b"));
                assertThat(run.err()).contains("No space left on device");
                try (Stream<Path> files = Files.list(small)) {
                    assertThat(files).isEmpty();
                }
            }
        } finally {
            HostCommand.run("umount", small.toString());
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "-O vmdk a b",
                "-f vdi a b",
                "-m 0 a b",
                "-S 1000 a b",
                "-c a b",
                "--target-is-zero a b",
                "-B base a b",
                "--resume -O qcow2 a b",
                "-O qcow2 -o cluster_size=3k a b",
                "-O qcow2 -o nonsense=1 a b",
                "-O qcow2 -o compat=0.10,refcount_bits=8 a b",
                "-O qcow2 --compress lzma a b",
                "-O qcow2 --compress zlib:10 a b",
                "-O qcow2 --compress zstd -o compression_type=zlib a b",
                "-O qcow2 a -",
                "a"
            })
    void shouldRefuseWrongUsage(String line) throws Exception {
        HostCommand.sparse(directory.resolve("a"), MIB);
        String[] arguments = line.split(" ");
        for (int i = 0; i < arguments.length; i++) {
            if (arguments[i].equals("a") || arguments[i].equals("b")) {
                arguments[i] = path(arguments[i]);
            }
        }
        CapturedRun run = convert(arguments);
        assertThat(run.status()).as(run.toString()).isEqualTo(2);
        assertThat(run.err()).hasLineCount(2);
        assertFiles("a");
    }
}

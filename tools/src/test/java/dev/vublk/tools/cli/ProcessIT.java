// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The life of a process: start, ready, signals, end; and the ways to start it. */
@Timeout(180)
class ProcessIT {
    private static final long MIB = 1 << 20;

    @TempDir
    private Path directory;

    @Test
    void shouldSayReadyAndNothingElse() throws Exception {
        HostCommand.sparse(directory.resolve("a.img"), 10 * MIB);

        try (VublkLauncher vublk =
                VublkLauncher.start(directory, "export", "a.img", "--socket", "a.sock", "--queues", "3", "-r")) {
            assertThat(vublk.awaitLine()).isEqualTo("ready: a.img on a.sock (10 MiB, 3 queues, read-only)");
            assertThat(directory.resolve("a.sock")).exists();
            vublk.signal("TERM");
            // No warnings of the JVM about native access, Unsafe or unnamed modules either.
            assertThat(vublk.awaitEnd()).isEqualTo(new CapturedRun(0, "", ""));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"TERM", "INT"})
    void shouldStopInOrderOnASignal(String signal) throws Exception {
        Path socket = directory.resolve("a.sock");
        try (VublkLauncher vublk = VublkLauncher.start(directory, "export", "null:64M", "--socket", "a.sock")
                        .awaitReady(1);
                BlkDriver driver = new BlkDriver(socket)) {
            assertThat(driver.write(0, new byte[512])).isEqualTo(BlkDriver.S_OK);

            vublk.signal(signal);

            assertThat(vublk.awaitEnd()).isEqualTo(new CapturedRun(0, "", ""));
            assertThat(socket).doesNotExist();
        }
    }

    /** The stop is made to hang: its log goes to a pipe that is full and that nobody reads. */
    @Test
    void shouldEndAtOnceOnASecondSignal() throws Exception {
        Path socket = directory.resolve("a.sock");
        Path pipe = directory.resolve("pipe");
        HostCommand.run("mkfifo", pipe.toString());
        // Somebody must hold the reading end, or opening the pipe for writing would wait.
        Process holder = new ProcessBuilder("sh", "-c", "exec 3<>pipe; echo held; exec sleep 600")
                .directory(directory.toFile())
                .start();
        try (VublkLauncher vublk = VublkLauncher.start(
                        directory,
                        Map.of(),
                        List.of(
                                VublkLauncher.script(),
                                "export",
                                "null:64M",
                                "--socket",
                                "a.sock",
                                "--log-level",
                                "DEBUG"),
                        pipe)
                .awaitReady(1)) {
            // Writes until the pipe is full, then fails with EAGAIN: that is what is wanted.
            HostCommand.succeeds("dd", "if=/dev/zero", "of=" + pipe, "bs=4096", "oflag=nonblock", "conv=nocreat");
            HostCommand.succeeds("dd", "if=/dev/zero", "of=" + pipe, "bs=1", "oflag=nonblock", "conv=nocreat");
            vublk.signal("TERM");
            while (Files.exists(socket)) {
                Thread.onSpinWait();
            }
            assertThat(vublk.isAlive()).isTrue();

            vublk.signal("TERM");

            assertThat(vublk.awaitExit()).isEqualTo(128 + 15);
        } finally {
            holder.destroyForcibly();
        }
    }

    /** The log is set up in another thread meanwhile, and knows of no warnings before. */
    @Test
    void shouldWarnOfWhatItFindsAtTheStart() throws Exception {
        Path image = directory.resolve("a.qcow2");
        assertThat(CapturedRun.of("create", "-f", "qcow2", "-o", "lazy_refcounts=on", image.toString(), "1M")
                        .status())
                .isZero();
        try (FileChannel file = FileChannel.open(image, StandardOpenOption.WRITE)) {
            file.write(ByteBuffer.wrap(new byte[] {1}), 79); // incompatible_features, big-endian: the dirty bit
        }
        try (VublkLauncher vublk = VublkLauncher.start(directory, "export", "a.qcow2", "--socket", "a.sock")
                .awaitReady(1)) {
            assertThat(vublk.err()).contains("WARN").contains("a.qcow2: was not closed cleanly");
            vublk.stop();
        }
    }

    @Test
    void shouldExitWithTheStatusOfTheCommand() throws Exception {
        assertThat(VublkLauncher.run(directory, "--print-capabilities").status())
                .isZero();
        assertThat(VublkLauncher.run(directory, "info", "missing").status()).isEqualTo(1);
        assertThat(VublkLauncher.run(directory, "export").status()).isEqualTo(2);
    }

    @Test
    void shouldTellTheVersionThatTheBuildGaveIt() throws Exception {
        assertThat(VublkLauncher.run(directory, "--version").out())
                .matches("(?s)vublk \\d+\\.\\d+\\.\\d+\\S*\nJava .*\n");
    }

    @Test
    void shouldFollowTheSizeOfTheImageOnHangup() throws Exception {
        Path image = directory.resolve("a.img");
        HostCommand.sparse(image, 2 * MIB);
        try (VublkLauncher vublk = VublkLauncher.start(directory, "export", "a.img", "--socket", "a.sock")
                        .awaitReady(1);
                BlkDriver driver = new BlkDriver(directory.resolve("a.sock"))) {
            HostCommand.sparse(image, 4 * MIB);
            vublk.signal("HUP");
            assertThat(vublk.awaitLine()).isEqualTo("resized: a.img on a.sock (4 MiB)");
            assertThat(driver.capacitySectors()).isEqualTo(4 * MIB / 512);
            assertThat(driver.write(4 * MIB / 512 - 1, pattern(1))).isEqualTo(BlkDriver.S_OK);

            HostCommand.sparse(image, MIB);
            vublk.signal("HUP");
            while (!vublk.err().endsWith("\n")) {
                // What is refused is told on standard error only. Each round asks the process over its socket.
                assertThat(driver.capacitySectors()).isEqualTo(4 * MIB / 512);
            }
            assertThat(vublk.err().lines())
                    .singleElement()
                    .asString()
                    .contains("a.img: has shrunk from " + 4 * MIB + " to " + MIB + " bytes");
            assertThat(driver.write(MIB / 512, pattern(1))).isEqualTo(BlkDriver.S_IOERR);
            assertThat(Files.size(image)).isEqualTo(MIB);

            vublk.signal("TERM");
            assertThat(vublk.awaitEnd().status()).isZero();
        }
    }

    @Test
    void shouldServeManyDisksInOneProcess() throws Exception {
        int disks = 20;
        List<String> args = new ArrayList<>(List.of("export", "--iothreads", "2"));
        for (int i = 0; i < disks; i++) {
            HostCommand.sparse(directory.resolve(i + ".img"), (i + 1) * MIB);
            args.addAll(List.of("--disk", "image=" + i + ".img,socket=" + i + ".sock"));
        }
        try (VublkLauncher vublk = VublkLauncher.start(directory, args.toArray(String[]::new))) {
            for (int i = 0; i < disks; i++) {
                assertThat(vublk.awaitLine())
                        .isEqualTo("ready: " + i + ".img on " + i + ".sock (" + (i + 1) + " MiB, 64 queues)");
            }
            List<BlkDriver> drivers = new ArrayList<>();
            for (int i = 0; i < disks; i++) {
                drivers.add(new BlkDriver(directory.resolve(i + ".sock")));
            }
            for (int i = 0; i < disks; i++) {
                assertThat(drivers.get(i).capacitySectors()).isEqualTo((i + 1) * MIB / 512);
                assertThat(drivers.get(i).write(i, pattern(i + 1))).isEqualTo(BlkDriver.S_OK);
            }
            for (int i = 0; i < disks; i++) {
                assertThat(drivers.get(i).read(i, 512)).isEqualTo(pattern(i + 1));
            }
            vublk.stop();
            drivers.forEach(BlkDriver::close);
            assertThat(vublk.err()).isEmpty();
        }
        try (Stream<Path> left = Files.list(directory)) {
            assertThat(left.filter(path -> path.toString().endsWith(".sock"))).isEmpty();
        }
        byte[] image = Files.readAllBytes(directory.resolve("7.img"));
        assertThat(java.util.Arrays.copyOfRange(image, 7 * 512, 8 * 512)).isEqualTo(pattern(8));
    }

    private static byte[] pattern(int value) {
        byte[] bytes = new byte[512];
        java.util.Arrays.fill(bytes, (byte) value);
        return bytes;
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "/no/such/directory", "/usr"})
    void shouldFindAJavaThatIsNewEnoughWhateverJavaHomeSays(String javaHome) throws Exception {
        assertStartsWith(javaHome);
    }

    @Test
    void shouldFindAJavaThatIsNewEnoughWhenJavaHomeIsAnOldOne() throws Exception {
        Path old = Path.of("/usr/lib/jvm/java-17-openjdk-amd64");
        assumeTrue(Files.exists(old), "no JDK 17 here");
        assertStartsWith(old.toString());
    }

    private void assertStartsWith(String javaHome) throws Exception {
        try (VublkLauncher vublk = VublkLauncher.start(
                directory, Map.of("JAVA_HOME", javaHome), List.of(VublkLauncher.script(), "info", "null:1M"))) {
            CapturedRun run = vublk.awaitEnd();
            assertThat(run.status()).isZero();
            assertThat(run.err()).isEmpty();
        }
    }

    @Test
    void shouldRunFromAnUnpackedArchiveThroughALink() throws Exception {
        Path unpacked = VublkLauncher.unpackArchive(directory.resolve("opt dir"));
        assertThat(unpacked.resolve("LICENSE")).exists();
        assertThat(unpacked.resolve("README.md")).exists();
        Path link = Files.createSymbolicLink(
                Files.createDirectory(directory.resolve("bin")).resolve("vublk"), Path.of("../opt dir/scripts/vublk"));

        try (VublkLauncher vublk = VublkLauncher.start(
                        directory, Map.of(), List.of(link.toString(), "export", "null:1M", "--socket", "a.sock"))
                .awaitReady(1)) {
            vublk.stop();
            assertThat(vublk.err()).isEmpty();
        }
    }
}

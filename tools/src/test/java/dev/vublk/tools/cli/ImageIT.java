// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.BufferedReader;
import java.io.Writer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** What a whole process does with images that are missing, forbidden, in use, or on a full disk. */
@Timeout(180)
class ImageIT {
    private static final int MIB = 1 << 20;

    @TempDir
    private Path directory;

    private Path image;

    @BeforeEach
    void createImage() throws Exception {
        image = HostCommand.sparse(directory.resolve("a.img"), 4 * MIB);
    }

    private VublkLauncher export(String socket, String... options) throws Exception {
        return VublkLauncher.start(directory, command(socket, options)).awaitReady(1);
    }

    private CapturedRun exportThatFails(String... options) throws Exception {
        CapturedRun run = VublkLauncher.run(directory, command("failed.sock", options));
        assertThat(run.status()).as(run.toString()).isEqualTo(1);
        assertThat(run.out()).isEmpty();
        assertThat(run.err()).hasLineCount(1);
        assertThat(directory.resolve("failed.sock")).doesNotExist();
        return run;
    }

    private static String[] command(String socket, String... options) {
        List<String> command = new ArrayList<>(List.of("export", "a.img", "--socket", socket));
        command.addAll(List.of(options));
        return command.toArray(String[]::new);
    }

    @Test
    void shouldRefuseAnImageThatIsMissing() throws Exception {
        Files.delete(image);
        assertThat(exportThatFails().err()).isEqualTo("vublk: a.img: cannot be opened: No such file or directory\n");
    }

    @Test
    void shouldRefuseADirectory() throws Exception {
        Files.delete(image);
        Files.createDirectory(image);
        assertThat(exportThatFails().err())
                .isEqualTo("vublk: a.img: is a directory, not a regular file or a block device\n");
    }

    @Test
    void shouldRefuseAnImageThatIsForbidden() throws Exception {
        String[] asNobody = {"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"};
        assumeTrue(HostCommand.run("id", "-u").equals("0"), "needs root to run as somebody else");
        Files.setPosixFilePermissions(directory, PosixFilePermissions.fromString("rwxrwxrwx"));
        // Not the checkout's: who may read that is not for a test to say.
        Path unpacked = VublkLauncher.unpackArchive(directory.resolve("vublk"));
        HostCommand.run("chmod", "-R", "a+rX", unpacked.toString());
        String launcher = unpacked.resolve("scripts/vublk").toString();

        assertThat(runAsNobody(asNobody, launcher).err())
                .isEqualTo("vublk: a.img: cannot be opened for reading and writing: Permission denied;"
                        + " read-only=on needs less\n");

        Files.setPosixFilePermissions(image, Set.of());
        assertThat(runAsNobody(asNobody, launcher, "--read-only").err())
                .isEqualTo("vublk: a.img: cannot be opened for reading: Permission denied\n");
    }

    private CapturedRun runAsNobody(String[] prefix, String launcher, String... options) throws Exception {
        List<String> command = new ArrayList<>(List.of(prefix));
        command.add(launcher);
        command.addAll(List.of(command("a.sock", options)));
        try (VublkLauncher vublk = VublkLauncher.start(directory, Map.of(), command)) {
            CapturedRun run = vublk.awaitEnd();
            assertThat(run.status()).isEqualTo(1);
            return run;
        }
    }

    @Test
    void shouldRefuseASecondWriter() throws Exception {
        try (VublkLauncher first = export("a.sock")) {
            assertThat(exportThatFails().err())
                    .startsWith("vublk: a.img: image is in use: java (pid ")
                    .contains("share-rw=on");
            assertThat(exportThatFails("--read-only").err())
                    .contains("has it open for writing", "force-share=on ignores them");
            assertThat(exportThatFails("--share-rw").err()).contains("image is in use");
            try (VublkLauncher reader = export("b.sock", "--read-only", "--force-share")) {
                reader.stop();
            }
            first.stop();
        }
        try (VublkLauncher next = export("a.sock")) {
            next.stop();
        }
    }

    @Test
    void shouldAcceptASecondWriterWhenBothShare() throws Exception {
        try (VublkLauncher first = export("a.sock", "--share-rw");
                VublkLauncher second = export("b.sock", "--share-rw");
                BlkDriver one = new BlkDriver(directory.resolve("a.sock"));
                BlkDriver two = new BlkDriver(directory.resolve("b.sock"))) {
            byte[] data = new byte[512];
            data[0] = 42;
            assertThat(one.write(1, data)).isEqualTo(BlkDriver.S_OK);
            assertThat(two.read(1, 512)).isEqualTo(data);
            first.stop();
            second.stop();
        }
    }

    @Test
    void shouldAcceptASecondReader() throws Exception {
        try (VublkLauncher first = export("a.sock", "--read-only");
                VublkLauncher second = export("b.sock", "--read-only")) {
            assertThat(exportThatFails().err()).contains("does not share writing");
            first.stop();
            second.stop();
        }
    }

    @Test
    void shouldRespectTheLocksOfQemuAndQemuOurs() throws Exception {
        assumeTrue(HostCommand.succeeds("qemu-io", "--version"), "qemu-io is missing: run scripts/guest/setup.sh");
        Process qemu = new ProcessBuilder("qemu-io", "-f", "raw", image.toString())
                .redirectErrorStream(true)
                .start();
        try (Writer in = qemu.outputWriter();
                BufferedReader out = qemu.inputReader()) {
            in.write("length\n");
            in.flush();
            assertThat(out.readLine()).contains("4 MiB"); // It has opened the image by now.

            assertThat(exportThatFails().err()).contains("image is in use: qemu-io (pid " + qemu.pid() + ")");

            in.write("quit\n");
            in.flush();
            assertThat(qemu.waitFor()).isZero();
        } finally {
            qemu.destroyForcibly();
        }
        String[] write = {"qemu-io", "-f", "raw", "-c", "write 0 512", image.toString()};
        String[] read = {"qemu-io", "-U", "-r", "-f", "raw", "-c", "read 0 512", image.toString()};
        try (VublkLauncher vublk = export("a.sock")) {
            assertThat(HostCommand.succeeds(write)).isFalse();
            assertThat(HostCommand.succeeds(read)).isTrue();
            vublk.stop();
        }
        assertThat(HostCommand.succeeds(write)).isTrue();
    }

    @Test
    void shouldReportAFullDiskToTheGuestAndLive() throws Exception {
        assumeTrue(HostCommand.run("id", "-u").equals("0"), "needs root to mount a small file system");
        Path small = Files.createDirectory(directory.resolve("small"));
        HostCommand.run("mount", "-t", "tmpfs", "-o", "size=1M", "vublk-test", small.toString());
        try {
            HostCommand.sparse(small.resolve("full.img"), 8 * MIB);
            try (VublkLauncher vublk = VublkLauncher.start(directory, "export", "small/full.img", "--socket", "a.sock")
                            .awaitReady(1);
                    BlkDriver driver = new BlkDriver(directory.resolve("a.sock"))) {
                byte[] data = new byte[64 << 10];
                data[0] = 42;
                List<Integer> statuses = new ArrayList<>();
                for (int i = 0; i < 32; i++) {
                    statuses.add(driver.write(i * 128L, data));
                }

                assertThat(statuses.getFirst()).isEqualTo(BlkDriver.S_OK);
                assertThat(statuses.getLast()).isEqualTo(BlkDriver.S_IOERR);
                assertThat(statuses).containsOnly(BlkDriver.S_OK, BlkDriver.S_IOERR);
                assertThat(driver.read(0, data.length)).isEqualTo(data);
                assertThat(driver.write(0, data)).isEqualTo(BlkDriver.S_OK);
                vublk.stop();
                assertThat(vublk.err()).doesNotContain("\tat ");
            }
        } finally {
            HostCommand.run("umount", small.toString());
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** {@code vublk resize --control}: disks become larger while a front end uses them. */
@Timeout(120)
class ControlResizeIT {
    private static final int MIB = 1 << 20;

    @TempDir
    private Path directory;

    @BeforeEach
    void createImages() throws Exception {
        QemuImg.assumeInstalled();
        Files.write(directory.resolve("a.raw"), new byte[4 * MIB]);
        QemuImg.run("create", "-q", "-f", "qcow2", directory.resolve("a.qcow2").toString(), "4M");
    }

    private VublkLauncher export(String image) throws Exception {
        return VublkLauncher.start(
                        directory,
                        "export",
                        image,
                        "--socket",
                        "a.sock",
                        "--control",
                        "c.sock",
                        "--snapshot-dir",
                        ".",
                        "--block-size",
                        "4096")
                .awaitReady(1);
    }

    private CapturedRun resize(String... arguments) throws Exception {
        List<String> command = new ArrayList<>(List.of("resize", "--control", "c.sock"));
        command.addAll(List.of(arguments));
        return VublkLauncher.run(directory, command.toArray(String[]::new));
    }

    private void assertRefused(String message, String... arguments) throws Exception {
        CapturedRun run = resize(arguments);
        assertThat(run.err()).isEqualTo("vublk: " + message + "\n");
        assertThat(run.status()).isEqualTo(1);
        assertThat(run.out()).isEmpty();
    }

    @ParameterizedTest
    @ValueSource(strings = {"a.raw", "a.qcow2"})
    void shouldGrowAndRefuseEverythingElse(String image) throws Exception {
        try (VublkLauncher vublk = export(image)) {
            try (BlkDriver driver = new BlkDriver(directory.resolve("a.sock"))) {
                byte[] data = new byte[4096];
                data[0] = 7;
                assertThat(driver.write(6 * MIB / 512, data)).isEqualTo(BlkDriver.S_IOERR);

                assertThat(resize(image, "+4M")).isEqualTo(new CapturedRun(0, "resized: " + image + " (8 MiB)\n", ""));

                assertThat(driver.write(6 * MIB / 512, data)).isEqualTo(BlkDriver.S_OK);
                assertThat(driver.write(8 * MIB / 512, data)).isEqualTo(BlkDriver.S_IOERR);
                assertThat(resize("-q", "0", "9M")).isEqualTo(new CapturedRun(0, "", ""));
                assertThat(driver.write(8 * MIB / 512, data)).isEqualTo(BlkDriver.S_OK);
            }
            assertRefused(
                    "c.sock: a.sock: " + image + ": a disk in use cannot become smaller: it has 9437184 bytes,"
                            + " and would have 8388608",
                    "a.sock",
                    "8M");
            assertRefused(
                    "c.sock: 0: " + image + ": 9437696 bytes are no multiple of its block size 4096", "0", "+512");
            assertRefused("c.sock: b.img: no disk 'b.img' is exported here: there is " + image, "b.img", "+1M");
            assertRefused("0: a disk of -1048576 bytes makes no sense", "0", "-10M");
            CapturedRun wrongUsage = resize("--shrink", "0", "1M");
            assertThat(wrongUsage.status()).isEqualTo(2);
            assertThat(wrongUsage.err()).startsWith("vublk: --control: a disk in use only becomes larger");
            vublk.stop();
        }
        Path raw = directory.resolve("content.raw");
        QemuImg.run("convert", "-O", "raw", directory.resolve(image).toString(), raw.toString());
        byte[] expected = new byte[9 * MIB];
        expected[6 * MIB] = 7;
        expected[8 * MIB] = 7;
        assertThat(Files.readAllBytes(raw)).isEqualTo(expected);
    }

    @Test
    void shouldSayThatNobodyListens() throws Exception {
        CapturedRun run = resize("0", "1G");
        assertThat(run.status()).isEqualTo(1);
        assertThat(run.err()).startsWith("vublk: c.sock: cannot connect: ").hasLineCount(1);
    }

    /** An image of one moment has that moment's size. */
    @Test
    void shouldGrowWhileASnapshotIsRead() throws Exception {
        try (VublkLauncher vublk = export("a.qcow2");
                BlkDriver driver = new BlkDriver(directory.resolve("a.sock"))) {
            byte[] data = new byte[4096];
            data[0] = 1;
            for (int block = 0; block < 4 * MIB / 4096; block++) {
                assertThat(driver.write(block * 8L, data)).isEqualTo(BlkDriver.S_OK);
            }
            try (VublkLauncher reader = VublkLauncher.start(
                    directory, "export-image", "--from-control", "c.sock", "-r", "2M", "--progress=json", "b.img")) {
                reader.awaitLine();
                assertThat(resize("0", "64M").status()).isZero();
                data[0] = 2;
                assertThat(driver.write(4 * MIB / 512 - 8, data)).isEqualTo(BlkDriver.S_OK);
                assertThat(driver.write(4 * MIB / 512, data)).isEqualTo(BlkDriver.S_OK);
                assertThat(driver.write(64 * MIB / 512 - 8, data)).isEqualTo(BlkDriver.S_OK);
                assertThat(reader.awaitExit()).isZero();
            }
            byte[] copy = Files.readAllBytes(directory.resolve("b.img"));
            assertThat(copy).hasSize(4 * MIB);
            for (int at = 0; at < copy.length; at += 4096) {
                assertThat(copy[at]).as("at %d", at).isEqualTo((byte) 1);
            }
            vublk.stop();
        }
        QemuImg.assertClean(directory.resolve("a.qcow2"));
    }
}

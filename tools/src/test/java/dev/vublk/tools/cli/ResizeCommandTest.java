// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.file.OfflineFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ResizeCommandTest {
    @TempDir
    private Path directory;

    private Path image;

    @BeforeEach
    void needQemu() throws InterruptedException {
        QemuImg.assumeInstalled();
        image = directory.resolve("disk.img");
    }

    private byte[] content() throws Exception {
        Path raw = directory.resolve("content.raw");
        QemuImg.run("convert", "-O", "raw", image.toString(), raw.toString());
        return Files.readAllBytes(raw);
    }

    private void create(String options, String size) throws Exception {
        QemuImg.run("create", "-q", "-f", "qcow2", "-o", options, image.toString(), size);
    }

    private void write(String... commands) throws Exception {
        for (String command : commands) {
            HostCommand.run("qemu-io", "-c", command, image.toString());
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "cluster_size=512",
                "cluster_size=512,refcount_bits=1",
                "cluster_size=4096,refcount_bits=64",
                "cluster_size=65536",
                "compat=0.10,cluster_size=1024",
                "extended_l2=on,cluster_size=16384"
            })
    void shouldGrowAndShrinkWithoutLoss(String options) throws Exception {
        create(options, "3M");
        write("write -P 1 0 1M", "write -P 2 2500k 500k");
        byte[] before = content();

        CapturedRun grown = CapturedRun.of("resize", image.toString(), "+97M");

        assertThat(grown).isEqualTo(new CapturedRun(0, "resized: " + image + " (100 MiB)\n", ""));
        QemuImg.assertClean(image);
        byte[] after = content();
        assertThat(after).hasSize(100 << 20);
        assertThat(Arrays.copyOf(after, 3 << 20)).isEqualTo(before);
        assertThat(Arrays.mismatch(after, 3 << 20, after.length, new byte[97 << 20], 0, 97 << 20))
                .isEqualTo(-1);
        write("write -P 3 90M 5M");
        QemuImg.assertClean(image);

        CapturedRun refused = CapturedRun.of("resize", image.toString(), "1025K");

        assertThat(refused.status()).isEqualTo(1);
        assertThat(refused.err()).contains("--shrink says that this is meant").hasLineCount(1);
        assertThat(content()).hasSize(100 << 20);

        CapturedRun shrunk = CapturedRun.of("resize", "--shrink", image.toString(), "2600K");

        assertThat(shrunk.err()).isEmpty();
        QemuImg.assertClean(image);
        assertThat(content()).isEqualTo(Arrays.copyOf(before, 2600 << 10));
        assertThat(CapturedRun.of("resize", image.toString(), "4M").status()).isZero();
        QemuImg.assertClean(image);
        assertThat(content())
                .as("what was cut off")
                .isEqualTo(Arrays.copyOf(Arrays.copyOf(before, 2600 << 10), 4 << 20));
    }

    @Test
    void shouldResizeRawImages() throws Exception {
        Files.write(image, new byte[] {1, 2, 3});

        assertThat(CapturedRun.of("resize", "-q", image.toString(), "1M")).isEqualTo(new CapturedRun(0, "", ""));
        assertThat(Files.size(image)).isEqualTo(1 << 20);
        assertThat(CapturedRun.of("resize", "-q", image.toString(), "--shrink", "-512K"))
                .isEqualTo(new CapturedRun(0, "", ""));
        assertThat(Files.size(image)).isEqualTo(512 << 10);
        assertThat(Arrays.copyOf(Files.readAllBytes(image), 3)).containsExactly(1, 2, 3);
    }

    @Test
    void shouldRefuseWhatWouldNotFit() throws Exception {
        create("compat=0.10", "1M");
        QemuImg.run("snapshot", "-c", "one", image.toString());

        assertThat(CapturedRun.of("resize", image.toString(), "2M").err())
                .isEqualTo(
                        "vublk: " + image + ": qcow2: cannot be resized: the snapshots of a version 2 image do not know"
                                + " their size: delete them first\n");

        create("compat=1.1", "1M");
        QemuImg.run("snapshot", "-c", "one", image.toString());
        assertThat(CapturedRun.of("resize", "--shrink", image.toString(), "512K")
                        .err())
                .endsWith("has snapshots: delete them first\n");
        assertThat(CapturedRun.of("resize", image.toString(), "2M").status()).isZero();
        QemuImg.assertClean(image);

        create("compat=1.1", "1M");
        QemuImg.run("bitmap", "--add", image.toString(), "b");
        assertThat(CapturedRun.of("resize", image.toString(), "2M").err()).contains("persistent bitmaps");
    }

    @Test
    void shouldRefuseAnImageThatIsInUse() throws Exception {
        create("compat=1.1", "1M");
        try (OfflineFile user = OfflineFile.open(image.toString(), true, false)) {
            assertThat(user.sizeBytes()).isPositive();
            CapturedRun run = CapturedRun.of("resize", image.toString(), "2M");

            assertThat(run.status()).isEqualTo(1);
            assertThat(run.err())
                    .contains("image is in use")
                    .endsWith(" (a disk that vublk serves with --control PATH grows by vublk resize --control PATH)\n")
                    .hasLineCount(1);
            assertThat(CapturedRun.of("resize", "-f", "raw", image.toString(), "2M")
                            .err())
                    .endsWith(" (a raw disk that vublk serves grows by truncate -s SIZE and then SIGHUP to vublk)\n")
                    .hasLineCount(1);
            assertThat(CapturedRun.of("check", "--repair", "all", image.toString())
                            .err())
                    .endsWith(" (end that first)\n");
            assertThat(CapturedRun.of("check", image.toString()).err()).endsWith(" (-U reads it all the same)\n");
            assertThat(CapturedRun.of("check", image.toString()).status()).isEqualTo(1);
            assertThat(CapturedRun.of("info", image.toString()).status()).isEqualTo(1);
            assertThat(CapturedRun.of("info", "-U", image.toString()).status()).isZero();
        }
    }
}

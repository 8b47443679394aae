// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Images of {@code vublk create} beside those of {@code qemu-img create}. */
class CreateCommandTest {
    @TempDir
    private Path directory;

    @BeforeEach
    void needQemu() throws InterruptedException {
        QemuImg.assumeInstalled();
    }

    private List<String> files() throws IOException {
        try (Stream<Path> files = Files.list(directory)) {
            return files.map(file -> file.getFileName().toString()).sorted().toList();
        }
    }

    private String path(String name) {
        return directory.resolve(name).toString();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "cluster_size=65536",
                "compat=0.10",
                "compat=0.10,cluster_size=512",
                "cluster_size=512,refcount_bits=1",
                "cluster_size=2M,refcount_bits=64",
                "lazy_refcounts=on,compression_type=zstd",
                "extended_l2=on",
                "extended_l2=on,cluster_size=16k,preallocation=metadata",
                "preallocation=metadata",
                "preallocation=metadata,cluster_size=512,refcount_bits=64",
                "preallocation=falloc,cluster_size=4k",
                "preallocation=full,refcount_bits=2"
            })
    void shouldBeLikeQemus(String options) throws Exception {
        Path ours = directory.resolve("ours.qcow2");
        Path twin = directory.resolve("twin.qcow2");
        QemuImg.run("create", "-q", "-f", "qcow2", "-o", options, twin.toString(), "20971008");

        CapturedRun run = CapturedRun.of("create", "-f", "qcow2", "-o", options, ours.toString(), "20971008");

        assertThat(run).isEqualTo(new CapturedRun(0, "created: " + ours + " (qcow2, 20.0 MiB)\n", ""));
        QemuImg.assertClean(ours);
        assertThat(QemuImg.info(ours)).isEqualTo(QemuImg.info(twin));
        JsonNode told = new ObjectMapper()
                .readTree(
                        CapturedRun.of("info", "--output=json", ours.toString()).out());
        assertThat(QemuImg.comparable(told)).isEqualTo(QemuImg.info(twin));
        QemuImg.run("compare", ours.toString(), twin.toString());
        assertThat(HostCommand.run("qemu-io", "-c", "write -P 7 1M 3M", "-c", "read -P 7 1M 3M", ours.toString()))
                .doesNotContain("failed");
        QemuImg.assertClean(ours);
        if (!options.contains("refcount_bits")) {
            assertThat(CapturedRun.of("check", ours.toString()).status()).isZero();
        }
    }

    @Test
    void shouldTakeSizeFromBackingFile() throws Exception {
        QemuImg.run("create", "-q", "-f", "qcow2", path("base.qcow2"), "5M");

        CapturedRun run =
                CapturedRun.of("create", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "-q", path("top.qcow2"));

        assertThat(run).isEqualTo(new CapturedRun(0, "", ""));
        QemuImg.run("create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", path("twin.qcow2"));
        assertThat(QemuImg.info(directory.resolve("top.qcow2")))
                .isEqualTo(QemuImg.info(directory.resolve("twin.qcow2")));
        JsonNode chain = new ObjectMapper()
                .readTree(CapturedRun.of("info", "--json", "--backing-chain", path("top.qcow2"))
                        .out());
        assertThat(chain).hasSize(2);
        assertThat(chain.get(1).get("filename").textValue()).isEqualTo(path("base.qcow2"));
    }

    @ParameterizedTest
    @CsvSource({"off", "on"})
    void shouldMakeExternalDataFile(String raw) throws Exception {
        String options = "data_file=" + path("data.raw") + ",data_file_raw=" + raw;

        CapturedRun run = CapturedRun.of("create", "-f", "qcow2", "-o", options, path("image.qcow2"), "3M");

        assertThat(run.err()).isEmpty();
        QemuImg.assertClean(directory.resolve("image.qcow2"));
        assertThat(Files.size(directory.resolve("data.raw"))).isEqualTo(3 << 20);
        JsonNode ours = QemuImg.info(directory.resolve("image.qcow2"));
        QemuImg.run("create", "-q", "-f", "qcow2", "--", path("x"), "1M");
        Files.delete(directory.resolve("data.raw"));
        QemuImg.run("create", "-q", "-f", "qcow2", "-o", options, path("twin.qcow2"), "3M");
        assertThat(ours).isEqualTo(QemuImg.info(directory.resolve("twin.qcow2")));
    }

    @Test
    void shouldMakeRawImages() throws IOException {
        assertThat(CapturedRun.of("create", "-q", path("a.img"), "1000").status())
                .isZero();
        assertThat(Files.size(directory.resolve("a.img"))).isEqualTo(1024);
        assertThat(CapturedRun.of("create", "-q", "-o", "preallocation=falloc", path("b.img"), "1M")
                        .status())
                .isZero();
        assertThat((long) Files.getAttribute(directory.resolve("b.img"), "unix:size"))
                .isEqualTo(1 << 20);
    }

    @Test
    void shouldNotReplaceWhatIsThere() throws Exception {
        Path image = directory.resolve("precious.img");
        Files.writeString(image, "precious");

        for (String format : List.of("raw", "qcow2")) {
            CapturedRun refused = CapturedRun.of("create", "-f", format, image.toString(), "1M");

            assertThat(refused)
                    .isEqualTo(new CapturedRun(1, "", "vublk: " + image + ": exists already; --force replaces it\n"));
            assertThat(Files.readString(image)).isEqualTo("precious");
            assertThat(files()).containsExactly("precious.img");
        }
        assertThat(CapturedRun.of("create", "-f", "qcow2", "--force", image.toString(), "1M")
                        .status())
                .isZero();
        QemuImg.assertClean(image);
        assertThat(files()).containsExactly("precious.img");
    }

    @Test
    void shouldNotReplaceAnImageInItsOwnChain() throws Exception {
        QemuImg.run("create", "-q", "-f", "qcow2", path("a.qcow2"), "1M");
        QemuImg.run("create", "-q", "-f", "qcow2", "-b", "a.qcow2", "-F", "qcow2", path("b.qcow2"));

        CapturedRun run =
                CapturedRun.of("create", "-f", "qcow2", "--force", "-b", "b.qcow2", "-F", "qcow2", path("a.qcow2"));

        assertThat(run.status()).isEqualTo(1);
        assertThat(run.err()).isEqualTo("vublk: " + path("a.qcow2") + ": is in the backing chain that it would have\n");
        assertThat(files()).containsExactly("a.qcow2", "b.qcow2");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "-f qcow2 IMAGE                                  | 2 | SIZE is missing",
                "-f qcow2 IMAGE 1X                               | 2 | size: '1X' is no size",
                "-f qcow2 -o cluster_size=1000 IMAGE 1M          | 2 | cluster_size: '1000' is no power of two",
                "-f qcow2 -o colour=red IMAGE 1M                 | 2 | format qcow2 has no option 'colour'",
                "-f qcow2 -o refcount_bits=3 IMAGE 1M            | 2 | refcount_bits: '3'",
                "-f qcow2 -o compat=0.10,extended_l2=on IMAGE 1M | 2 | compat=0.10 has neither",
                "-f qcow2 -o data_file_raw=on IMAGE 1M           | 2 | data_file_raw: needs data_file",
                "-f qcow2 -o cluster_size=512 IMAGE 1T           | 1 | needs larger clusters than 512 bytes",
                "-f qcow2 -b missing.qcow2 -F qcow2 IMAGE        | 1 | missing.qcow2: cannot be opened: No such file",
                "-f vmdk IMAGE 1M                                | 2 | --format: 'vmdk' is neither raw nor qcow2",
                "-b x IMAGE 1M                                   | 2 | -b: a raw image has no backing file",
                "-f qcow2 /no/such/directory/image 1M            | 1 | its directory does not exist",
                "-o preallocation=metadata IMAGE 1M              | 2 | a raw image has no metadata"
            })
    void shouldRefuseInOneLine(String arguments, int status, String message) throws IOException {
        String[] words =
                ("create " + arguments.replace("IMAGE", path("image"))).strip().split(" +");

        CapturedRun run = CapturedRun.of(words);

        assertThat(run.status()).as(run.err()).isEqualTo(status);
        assertThat(run.err().lines().findFirst().orElse("")).contains(message);
        assertThat(run.err().lines().count()).isEqualTo(status);
        assertThat(files()).isEmpty();
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CheckCommandTest {
    @TempDir
    private Path directory;

    private Path image;

    @BeforeEach
    void makeImage() throws Exception {
        QemuImg.assumeInstalled();
        image = directory.resolve("disk.qcow2");
        QemuImg.run("create", "-q", "-f", "qcow2", image.toString(), "4M");
        HostCommand.run("qemu-io", "-c", "write -P 5 0 300k", image.toString());
    }

    /** The refcount block is the third cluster of an image that QEMU makes. */
    private void setRefcount(int cluster, int refcount) throws Exception {
        try (RandomAccessFile file = new RandomAccessFile(image.toFile(), "rw")) {
            file.seek(2 * 65536 + 2L * cluster);
            file.writeShort(refcount);
        }
    }

    @Test
    void shouldSayWhatQemuSays() throws Exception {
        CapturedRun run = CapturedRun.of("check", image.toString());

        assertThat(run.status()).isZero();
        assertThat(run.err()).isEmpty();
        assertThat(run.out()).isEqualTo(HostCommand.run("qemu-img", "check", image.toString()) + "\n");
        JsonNode ours = new ObjectMapper()
                .readTree(CapturedRun.of("check", "--output=json", image.toString())
                        .out());
        JsonNode theirs =
                new ObjectMapper().readTree(HostCommand.run("qemu-img", "check", "--output=json", image.toString()));
        assertThat(ours).isEqualTo(theirs);
    }

    @Test
    void shouldTellLeaksFromErrors() throws Exception {
        setRefcount(6, 2);
        CapturedRun leak = CapturedRun.of("check", image.toString());
        assertThat(leak.status()).as(leak.toString()).isEqualTo(2); // its copied flag is wrong as well

        setRefcount(6, 1);
        setRefcount(9, 1);
        CapturedRun run = CapturedRun.of("check", image.toString());
        assertThat(run.status()).as(run.toString()).isIn(0, 3);
        setRefcount(11, 7);
        Files.write(image, new byte[65536 * 3], java.nio.file.StandardOpenOption.APPEND);
        run = CapturedRun.of("check", image.toString());
        assertThat(run.status()).isEqualTo(3);
        assertThat(run.err()).contains("Leaked cluster 11 refcount=7 reference=0");
        assertThat(run.out()).contains("1 leaked clusters were found on the image.");

        CapturedRun repaired = CapturedRun.of("check", "--repair", "leaks", image.toString());
        assertThat(repaired.status()).isZero();
        assertThat(repaired.out()).startsWith("repaired: 1 leaked clusters, 0 errors\nNo errors were found");
        QemuImg.assertClean(image);

        setRefcount(6, 0);
        assertThat(CapturedRun.of("check", image.toString()).status()).isEqualTo(2);
        assertThat(CapturedRun.of("check", "--repair", "leaks", image.toString())
                        .status())
                .isEqualTo(2);
        assertThat(CapturedRun.of("check", "-r", "all", image.toString()).status())
                .isZero();
        QemuImg.assertClean(image);
        assertThat(HostCommand.run("qemu-io", "-c", "read -P 5 0 300k", image.toString()))
                .doesNotContain("failed");
    }

    @Test
    void shouldSayWhatCannotBeChecked() throws Exception {
        Path raw = HostCommand.sparse(directory.resolve("raw.img"), 1 << 20);
        assertThat(CapturedRun.of("check", raw.toString()).status()).isEqualTo(63);

        CapturedRun missing =
                CapturedRun.of("check", directory.resolve("missing").toString());
        assertThat(missing.status()).isEqualTo(1);
        assertThat(missing.err())
                .contains("missing: cannot be opened: No such file")
                .hasLineCount(1);

        Path truncated = directory.resolve("truncated.qcow2");
        Files.write(truncated, java.util.Arrays.copyOf(Files.readAllBytes(image), 60));
        CapturedRun run = CapturedRun.of("check", truncated.toString());
        assertThat(run.status()).isEqualTo(1);
        assertThat(run.err()).contains("ends inside its header").hasLineCount(1);

        assertThat(CapturedRun.of("check", "--repair", "some", image.toString()).status())
                .isEqualTo(2);
    }

    @Test
    void shouldListSnapshots() throws Exception {
        assertThat(CapturedRun.of("snapshot", "list", image.toString())).isEqualTo(new CapturedRun(0, "", ""));
        QemuImg.run("snapshot", "-c", "before the update", image.toString());
        QemuImg.run("snapshot", "-c", "after", image.toString());

        String lines = HostCommand.run("qemu-img", "snapshot", "-l", image.toString()) + "\n";
        assertThat(CapturedRun.of("snapshot", "-l", image.toString()).out()).isEqualTo(lines);
        assertThat(CapturedRun.of("snapshot", "list", image.toString()).out()).isEqualTo(lines);
        JsonNode json = new ObjectMapper()
                .readTree(CapturedRun.of("snapshot", "list", "--json", image.toString())
                        .out());
        assertThat(json).isEqualTo(QemuImg.info(image).get("snapshots")).hasSize(2);
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.tools.Main;
import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Short commands in a process of their own, as users start them. */
class ShortCommandTest {
    @TempDir
    private Path directory;

    private Path image;
    private String classes = "";

    @BeforeEach
    void makeImage() throws Exception {
        byte[] bytes = new byte[3 << 20];
        bytes[1 << 20] = 1;
        image = Files.write(directory.resolve("a.img"), bytes);
    }

    /** Exit status; what it prints is in {@link #printed}, what it loads in {@code classes}. */
    private int run(String... args) throws Exception {
        return run(directory.resolve("out").toFile(), args);
    }

    private int run(File output, String... args) throws Exception {
        JavaRun run = JavaRun.of(directory, output, Main.class, args);
        classes = run.classes();
        return run.status();
    }

    private String printed() throws Exception {
        return Files.readString(directory.resolve("out"));
    }

    /** Each of these takes longer to be set up than such a command runs. */
    private void assertNothingIsLoadedThatIsNotNeeded() {
        assertThat(classes)
                .contains(" dev.vublk.tools.Main ")
                .doesNotContain(" picocli.CommandLine ")
                .doesNotContain(" picocli.CommandLine$Model")
                .doesNotContain(" org.apache.logging.log4j.LogManager ")
                .doesNotContain(" io.netty.")
                .doesNotContain(" jnr.ffi.")
                .doesNotContain(" com.kenai.jffi.")
                .doesNotContain(" com.fasterxml.jackson.databind.ObjectMapper ")
                .doesNotContain(" java.util.logging.")
                .doesNotContain(" java.security.SecureRandom ");
    }

    @Test
    void shouldConvertWithNothingElseThanItNeeds() throws Exception {
        Path target = directory.resolve("b.img");

        assertThat(run("convert", "-f", "raw", image.toString(), target.toString()))
                .as(printed())
                .isZero();
        assertThat(Files.mismatch(image, target)).isEqualTo(-1);
        assertNothingIsLoadedThatIsNotNeeded();
    }

    @Test
    void shouldConvertToQcow2WithNothingElseThanItNeeds() throws Exception {
        assertThat(run(
                        "convert",
                        "-O",
                        "qcow2",
                        image.toString(),
                        directory.resolve("b.qcow2").toString()))
                .as(printed())
                .isZero();
        assertNothingIsLoadedThatIsNotNeeded();
    }

    @Test
    void shouldTellOfAnImageWithNothingElseThanItNeeds() throws Exception {
        assertThat(run("info", image.toString())).isZero();
        assertThat(printed()).contains("virtual size:   3 MiB (3145728 bytes)");
        assertNothingIsLoadedThatIsNotNeeded();
    }

    @Test
    void shouldExitAsWithPicocliWhenItFails() throws Exception {
        assertThat(run("info", directory.resolve("none").toString())).isEqualTo(1);
        assertThat(printed())
                .isEqualTo("vublk: " + directory.resolve("none") + ": cannot be opened: No such file or directory\n");
    }

    @Test
    void shouldFailWhenNobodyTakesWhatItPrints() throws Exception {
        assertThat(run(new File("/dev/full"), "info", image.toString())).isEqualTo(1);
        assertThat(run(new File("/dev/full"), "compare", image.toString(), image.toString()))
                .isEqualTo(2);
    }

    @Test
    void shouldSayAsPicocliDoesThatItWasUsedWrongly() throws Exception {
        assertThat(run("convert", "-O", "vmdk", image.toString(), "b")).isEqualTo(2);
        assertThat(printed()).isEqualTo("vublk: -O: 'vmdk' is neither raw nor qcow2\nTry 'vublk convert --help'.\n");
        assertThat(run("export-image", "-m", "0", image.toString(), "b")).isEqualTo(2);
        assertThat(printed()).isEqualTo("vublk: -m: '0' is no number of threads\nTry 'vublk convert --help'.\n");
    }

    @Test
    void shouldLeaveToPicocliWhatIsNotPlain() throws Exception {
        assertThat(run("info", "--help")).isZero();
        assertThat(printed()).contains("Usage: vublk info");
    }
}

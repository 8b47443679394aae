// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class InfoCommandTest {
    @TempDir
    private Path directory;

    private Path image(String magicHex, int sizeBytes) throws IOException {
        byte[] bytes = new byte[sizeBytes];
        byte[] magic = HexFormat.of().parseHex(magicHex);
        System.arraycopy(magic, 0, bytes, 0, magic.length);
        return Files.write(directory.resolve("disk.img"), bytes);
    }

    @Test
    void shouldTellAboutAFile() throws IOException {
        Path image = image("", 10 << 20);

        CapturedRun run = CapturedRun.of("info", image.toString());

        assertThat(run.status()).isZero();
        assertThat(run.err()).isEmpty();
        assertThat(run.out().lines())
                .contains(
                        "image:          " + image,
                        "format:         raw",
                        "kind:           file",
                        "virtual size:   10 MiB (10485760 bytes)",
                        "logical block:  512 bytes")
                .anyMatch(line -> line.startsWith("space taken:"))
                .anyMatch(line -> line.startsWith("discard:"))
                .anyMatch(line -> line.startsWith("direct I/O:"));
    }

    @Test
    void shouldTellAboutAFileInJson() throws IOException {
        Path image = image("", 10 << 20);

        CapturedRun run = CapturedRun.of("info", "--json", image.toString());

        assertThat(run.status()).isZero();
        assertThat(run.err()).isEmpty();
        JsonNode json = new ObjectMapper().readTree(run.out());
        assertThat(json.get("filename").textValue()).isEqualTo(image.toString());
        assertThat(json.get("format").textValue()).isEqualTo("raw");
        assertThat(json.get("looks-like").textValue()).isEqualTo("raw");
        assertThat(json.get("kind").textValue()).isEqualTo("file");
        assertThat(json.get("virtual-size").longValue()).isEqualTo(10 << 20);
        assertThat(json.get("actual-size").isIntegralNumber()).isTrue();
        assertThat(json.get("logical-block-size").intValue()).isEqualTo(512);
        assertThat(json.get("discard").isBoolean()).isTrue();
        assertThat(json.get("direct-io").isBoolean()).isTrue();
    }

    @Test
    void shouldTellAboutADiskThatStoresNothing() throws IOException {
        CapturedRun text = CapturedRun.of("info", "null:64M");
        assertThat(text.status()).isZero();
        assertThat(text.err()).isEmpty();
        assertThat(text.out().lines())
                .contains("kind:           stores nothing", "virtual size:   64 MiB (67108864 bytes)")
                .noneMatch(line -> line.startsWith("space taken:") || line.startsWith("direct I/O:"));

        JsonNode json = new ObjectMapper()
                .readTree(CapturedRun.of("info", "--json", "null:64M").out());
        assertThat(json.get("kind").textValue()).isEqualTo("null");
        assertThat(json.get("virtual-size").longValue()).isEqualTo(64 << 20);

        CapturedRun wrong = CapturedRun.of("info", "null:100");
        assertThat(wrong.status()).isEqualTo(1);
        assertThat(wrong.err())
                .isEqualTo("vublk: null:100: the size must be a positive multiple of 512 bytes,"
                        + " for example null:64MiB\n");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "51454400 | qed | , which is not supported; with --format raw",
                "4b444d56 | vmdk | , which is not supported; with --format raw",
                "4c554b53babe | luks | , which is not supported; with --format raw",
                "1f8b08 | gzip | , but would be served as raw:"
            })
    void shouldWarnOfOtherFormats(String magicHex, String format, String reason) throws IOException {
        Path image = image(magicHex, 4096);

        for (String json : new String[] {"", "--json"}) {
            CapturedRun run = json.isEmpty()
                    ? CapturedRun.of("info", image.toString())
                    : CapturedRun.of("info", json, image.toString());

            assertThat(run.status()).isZero();
            assertThat(run.out()).contains("raw");
            assertThat(run.err())
                    .isEqualTo("vublk: " + image + ": looks like " + format + reason
                            + " the guest would see the container, not what is in it\n");
        }
    }

    @Test
    void shouldSayWhatCannotBeServed() throws IOException {
        CapturedRun tiny = CapturedRun.of("info", image("", 100).toString());
        assertThat(tiny.status()).isZero();
        assertThat(tiny.out()).contains("virtual size:   100 bytes\n");
        assertThat(tiny.err())
                .endsWith("disk.img: its size is no multiple of 512 bytes: it can only be served read-only\n")
                .hasLineCount(1);

        CapturedRun empty = CapturedRun.of("info", image("", 0).toString());
        assertThat(empty.status()).isZero();
        assertThat(empty.out()).contains("virtual size:   0 bytes\n");
        assertThat(empty.err())
                .endsWith("disk.img: is empty and cannot be served\n")
                .hasLineCount(1);
    }

    @Test
    void shouldFailInOneLine() {
        Path missing = directory.resolve("missing.img");
        assertThat(CapturedRun.of("info", missing.toString()))
                .isEqualTo(new CapturedRun(
                        1, "", "vublk: " + missing + ": cannot be opened: No such file or directory\n"));
        assertThat(CapturedRun.of("info", directory.toString()))
                .isEqualTo(new CapturedRun(
                        1, "", "vublk: " + directory + ": is a directory, not a regular file or a block device\n"));
        assertThat(CapturedRun.of("info", "/dev/zero").err())
                .isEqualTo("vublk: /dev/zero: is a character device, not a regular file or a block device\n");
        assertThat(CapturedRun.of("info"))
                .isEqualTo(new CapturedRun(
                        2, "", "vublk: Missing required parameter: 'IMAGE'\nTry 'vublk info --help'.\n"));
    }
}

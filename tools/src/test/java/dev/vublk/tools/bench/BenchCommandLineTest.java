// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.vublk.tools.cli.VublkCommand;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import picocli.CommandLine;

@Timeout(60)
class BenchCommandLineTest {
    @TempDir
    private Path directory;

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();

    private int run(String... arguments) {
        CommandLine line = VublkCommand.commandLine();
        line.setOut(new PrintWriter(out));
        line.setErr(new PrintWriter(err));
        List<String> all = new ArrayList<>(List.of(arguments));
        all.addFirst("bench");
        return line.execute(all.toArray(String[]::new));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "--bs 1000 | --bs 1000 is not a multiple of 512",
                "--bs 32M | --bs 33554432 is not from 512 to 16M",
                "--iodepth 0 | --iodepth 0 is not from 1 to 32768",
                "--threads 2 | --threads 2 is not from 1 to the number of queues, 1",
                "--time 0 | --time 0.0 must be more than nothing",
                "--queue-size 100 | --queue-size 100 is no power of two from 2 to 32768",
                "--offset 1 | --offset 1 is not a multiple of --bs",
                "--rw verify --rate 5 | --rate 5.0 has no meaning for a verification",
                "--rw sideways | 'sideways' is none of [read, write, randread",
                "--poll --event | mutually exclusive",
                "--idle-queues some | 'some' is none of [all, none]",
                "--socket t | only --connect-only takes several",
            })
    void shouldRefuseWrongOptions(String options, String reason) {
        List<String> arguments = new ArrayList<>(List.of("--socket", "s"));
        arguments.addAll(List.of(options.split(" ")));
        assertThat(run(arguments.toArray(String[]::new))).isEqualTo(2);
        assertThat(err.toString()).contains(reason).contains("Try 'vublk bench --help'");
    }

    @Test
    void shouldAskForASocket() {
        assertThat(run()).isEqualTo(2);
        assertThat(err.toString()).contains("--socket");
    }

    @Test
    void shouldPrintTextAndJson() throws IOException {
        try (BenchBackend backend = BenchBackend.start(directory, "null:1MiB")) {
            assertThat(run("--socket", backend.socket(), "--time", "0.05", "--warmup", "0"))
                    .isZero();
            assertThat(out.toString()).contains("randread, 4096 bytes, depth 1, 1 of 4 queues active");
            assertThat(run("--socket", backend.socket(), "--time", "0.05", "--json", "--rw", "WRITE", "--bs", "8k"))
                    .isZero();
            assertThat(out.toString()).contains("\"rw\" : \"write\"").contains("\"bs\" : 8192");
        }
    }

    @Test
    void shouldFailWhenDataIsWrong() throws IOException {
        try (BenchBackend backend = BenchBackend.start(directory, "null:1MiB")) {
            assertThat(run("--socket", backend.socket(), "--rw", "verify", "--time", "0.01"))
                    .isEqualTo(1);
            assertThat(err.toString()).contains("vublk: verification failed (seed 1): block 0 at offset 0");
        }
    }

    @Test
    void shouldBuildDefaults() {
        BenchOptions options = BenchOptions.builder("s").build();
        assertThat(options.workload()).isEqualTo(Workload.RANDREAD);
        assertThat(options.blockBytes()).isEqualTo(4096);
        assertThat(options.timeNs()).isEqualTo(5_000_000_000L);
        assertThat(options.idleQueues()).isTrue();
        assertThat(options.event()).isFalse();
        assertThatThrownBy(() -> BenchOptions.builder("s").queues(0).build()).hasMessageContaining("--queues 0");
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.vublk.blockdev.BlockOpenException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine;
import picocli.CommandLine.Command;

class VublkCommandTest {
    @TempDir
    private Path directory;

    @ParameterizedTest
    @ValueSource(strings = {"", "export", "info", "completion"})
    void shouldHelp(String command) {
        for (String option : new String[] {"--help", "-h"}) {
            CapturedRun run = command.isEmpty() ? CapturedRun.of(option) : CapturedRun.of(command, option);

            assertThat(run.status()).isZero();
            assertThat(run.err()).isEmpty();
            assertThat(run.out()).startsWith("Usage: vublk " + command).contains("--help");
        }
    }

    @Test
    void shouldHelpWhenNothingIsAsked() {
        assertThat(CapturedRun.of()).isEqualTo(CapturedRun.of("--help"));
    }

    @Test
    void shouldShowEveryOptionOfExportInItsHelp() {
        String help = CapturedRun.of("export", "--help").out();

        VublkCommand.commandLine()
                .parseArgs("export")
                .subcommand()
                .commandSpec()
                .options()
                .forEach(option -> assertThat(help).contains(option.longestName()));
    }

    @ParameterizedTest
    @ValueSource(strings = {"--version", "-V"})
    void shouldTellItsVersion(String option) {
        CapturedRun run = CapturedRun.of(option);

        assertThat(run.status()).isZero();
        assertThat(run.out()).startsWith("vublk ").contains("Java " + Runtime.version());
    }

    @Test
    void shouldPrintACompletionScriptThatBashCanRead() throws Exception {
        CapturedRun run = CapturedRun.of("completion");
        assertThat(run.status()).isZero();
        assertThat(run.err()).isEmpty();
        assertThat(run.out()).contains("--socket-fd", "--iothread-cpus", "--print-capabilities", "info");

        Path script = Files.writeString(directory.resolve("completion"), run.out());
        Process bash = new ProcessBuilder("bash", "-n", script.toString())
                .redirectErrorStream(true)
                .start();
        assertThat(new String(bash.getInputStream().readAllBytes(), java.nio.charset.StandardCharsets.UTF_8))
                .isEmpty();
        assertThat(bash.waitFor()).isZero();
    }

    /** vhost-user.rst, "Backend program conventions" and "vhost-user-blk". */
    @Test
    void shouldPrintItsCapabilitiesForManagementSoftware() throws IOException {
        CapturedRun run = CapturedRun.of("--print-capabilities");

        assertThat(run.status()).isZero();
        assertThat(run.err()).isEmpty();
        JsonNode json = new ObjectMapper().readTree(run.out());
        assertThat(json.get("type").textValue()).isEqualTo("block");
        assertThat(json.get("features"))
                .extracting(JsonNode::textValue)
                .containsExactlyInAnyOrder("read-only", "blk-file");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "--colour | Unknown option: '--colour'",
                "serve | Unmatched argument at index 0: 'serve'",
                "--socket-path s | --blk-file FILE is missing: what is to be served?",
                "--fd 3 | --blk-file FILE is missing: what is to be served?",
                "--read-only | --blk-file FILE is missing: what is to be served?",
                "--blk-file a | --blk-file needs one of --socket-path PATH and --fd N",
                "--blk-file a --socket-path s --fd 3 | --blk-file needs one of --socket-path PATH and --fd N",
                "--blk-file a --fd -4 | --fd: '-4' is no descriptor: give one from 0 on",
                "--blk-file a --fd three | Invalid value for option '--fd': 'three' is not an int",
                "--blk-file= --socket-path s | --blk-file: no image given: what is to be served?",
            })
    void shouldRefuseWrongUsageInOneLineThatSaysWhat(String args, String message) {
        CapturedRun run = CapturedRun.of(args.split(" ", -1));

        assertThat(run).isEqualTo(new CapturedRun(2, "", "vublk: " + message + "\nTry 'vublk --help'.\n"));
    }

    @Test
    void shouldFailInOneLineWhenTheFileOfTheConventionsIsMissing() {
        Path missing = directory.resolve("missing.img");
        CapturedRun run = CapturedRun.of("--blk-file=" + missing, "--socket-path=" + directory.resolve("s"));

        assertThat(run)
                .isEqualTo(new CapturedRun(
                        1, "", "vublk: " + missing + ": cannot be opened: No such file or directory\n"));
    }

    @Test
    void shouldDescribeFailuresInWordsForPeople() {
        BlockOpenException refused = new BlockOpenException("a.img: is a directory");
        assertThat(VublkCommand.describe(refused)).isEqualTo("a.img: is a directory");
        assertThat(VublkCommand.describe(new UncheckedIOException(refused))).isEqualTo("a.img: is a directory");
        assertThat(VublkCommand.describe(new NoSuchFileException("a"))).isEqualTo("a: No such file or directory");
        assertThat(VublkCommand.describe(new AccessDeniedException("a"))).isEqualTo("a: Permission denied");
        assertThat(VublkCommand.describe(new IOException()))
                .isEqualTo("internal error: java.io.IOException (--debug shows where)");
        assertThat(VublkCommand.describe(new IllegalStateException("not started")))
                .isEqualTo("internal error: java.lang.IllegalStateException: not started (--debug shows where)");
    }

    /** A command that fails in a way no command of ours should. */
    @Command(name = "fail")
    private static final class FailingCommand implements Callable<Integer> {
        private final Throwable failure;

        FailingCommand(Throwable failure) {
            this.failure = failure;
        }

        @Override
        public Integer call() throws Exception {
            if (failure instanceof Error error) {
                throw error;
            }
            throw (Exception) failure;
        }
    }

    private static CapturedRun fail(Throwable failure, String... options) {
        CommandLine line = VublkCommand.commandLine().addSubcommand(new FailingCommand(failure));
        String[] args = java.util.Arrays.copyOf(options, options.length + 1);
        args[options.length] = "fail";
        return CapturedRun.of(line, args);
    }

    @Test
    void shouldSayInOneLineThatItIsBroken() {
        InternalError failure = new InternalError("a fault\n  in two lines");

        assertThat(fail(failure))
                .isEqualTo(
                        new CapturedRun(
                                1,
                                "",
                                "vublk: internal error: java.lang.InternalError: a fault in two lines (--debug shows where)\n"));
        assertThat(fail(failure, "--debug").err()).contains("\tat dev.vublk.");
        assertThat(fail(new IllegalStateException("no")).err())
                .isEqualTo("vublk: internal error: java.lang.IllegalStateException: no (--debug shows where)\n");
    }
}

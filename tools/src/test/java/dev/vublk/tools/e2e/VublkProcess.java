// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.e2e;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** A running {@code vublk export}, begun as a user would, through the launcher. */
final class VublkProcess implements AutoCloseable {
    private static final int LIMIT_S = 30;

    /** More options for every process, to run all tests with them: {@code -Dvublk.e2e.options="--fd-monitor epoll"}. */
    private static final String MORE_OPTIONS = System.getProperty("vublk.e2e.options", "");

    private final Process process;
    private final Path log;

    private VublkProcess(Process process, Path log) {
        this.process = process;
        this.log = log;
    }

    /** Starts {@code vublk export arguments} and waits until every one of {@code disks} sockets listens. */
    static VublkProcess export(Path directory, int disks, String... arguments) throws Exception {
        return exportThrough(List.of(), directory, disks, arguments);
    }

    /** The same, run by another program whose arguments it is. */
    static VublkProcess exportThrough(List<String> runner, Path directory, int disks, String... arguments)
            throws Exception {
        // Under nohup, which these tests may run under, SIGHUP would be ignored.
        List<String> command = new ArrayList<>(List.of("env", "--default-signal=HUP"));
        command.addAll(runner);
        command.addAll(List.of(Checkout.launcher(), "export", "--log-level", "INFO"));
        command.addAll(List.of(arguments));
        List<String> more = List.of(MORE_OPTIONS.split(" ", -1));
        if (!MORE_OPTIONS.isEmpty() && !command.contains(more.getFirst())) {
            command.addAll(more);
        }
        if (PackedRings.chosen() == PackedRings.NEVER && !command.contains("--packed")) {
            command.addAll(List.of("--packed", "off"));
        }
        Path log = Files.createTempFile(directory, "vublk", ".log");
        Process process =
                new ProcessBuilder(command).redirectError(log.toFile()).start();
        VublkProcess vublk = new VublkProcess(process, log);
        try {
            vublk.awaitReady(disks);
        } catch (Exception | AssertionError e) {
            vublk.close();
            throw e;
        }
        return vublk;
    }

    private void awaitReady(int disks) throws Exception {
        BufferedReader out = process.inputReader();
        CompletableFuture.runAsync(() -> {
                    for (int i = 0; i < disks; i++) {
                        try {
                            assertThat(out.readLine()).as(this::logText).startsWith("ready");
                        } catch (IOException e) {
                            throw new UncheckedIOException(e);
                        }
                    }
                })
                .get(LIMIT_S, TimeUnit.SECONDS);
    }

    String logText() {
        try {
            return Files.readString(log);
        } catch (IOException e) {
            return "no log: " + e;
        }
    }

    /** Asks the process to stop; it must do so in order, with status 0, and leave no socket behind. */
    void stop(Path... sockets) throws InterruptedException {
        process.destroy();
        assertThat(process.waitFor(LIMIT_S, TimeUnit.SECONDS)).as(this::logText).isTrue();
        assertThat(process.exitValue()).as(this::logText).isZero();
        for (Path socket : sockets) {
            assertThat(socket).doesNotExist();
        }
        assertThat(logText()).doesNotContain("ERROR", "Exception", "broken");
    }

    /** Sends a signal by its name. */
    void signal(String name) throws IOException {
        DiskImages.run("kill", "-" + name, String.valueOf(process.pid()));
    }

    /** SIGKILL: the process gets no chance to tidy up. */
    void kill() throws InterruptedException {
        process.destroyForcibly();
        process.waitFor();
    }

    @Override
    public void close() {
        process.descendants().forEach(ProcessHandle::destroyForcibly);
        process.destroyForcibly();
    }
}

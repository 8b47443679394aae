// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/** A vublk process, begun as a user would: through the launcher, in a directory of its own. */
final class VublkLauncher implements AutoCloseable {
    /** Two busy processors may take their time to start a JVM. */
    private static final int LIMIT_S = 60;

    private final Process process;
    private final BufferedReader out;
    private final Path err;

    private VublkLauncher(Process process, Path err) {
        this.process = process;
        this.out = process.inputReader();
        this.err = err;
    }

    /** {@code scripts/vublk} of the checkout. */
    static String script() {
        return checkout().resolve("scripts/vublk").toString();
    }

    static Path checkout() {
        Path at = Path.of("").toAbsolutePath();
        while (!Files.isRegularFile(at.resolve("scripts/vublk"))) {
            at = at.getParent();
            if (at == null) {
                throw new IllegalStateException("not inside a checkout");
            }
        }
        return at;
    }

    /** Unpacks the archive that the build made into the new directory {@code target}, and returns that. */
    static Path unpackArchive(Path target) throws Exception {
        List<Path> archives;
        try (Stream<Path> files = Files.list(checkout().resolve("tools/target"))) {
            archives = files.filter(path -> path.getFileName().toString().matches("vublk-.*\\.tar\\.gz"))
                    .toList();
        }
        assertThat(archives).hasSize(1);
        Files.createDirectory(target);
        HostCommand.run("tar", "-xzf", archives.getFirst().toString(), "-C", target.toString(), "--strip-components=1");
        return target;
    }

    /** Starts {@code scripts/vublk arguments}. */
    static VublkLauncher start(Path directory, String... arguments) throws IOException {
        List<String> command = new ArrayList<>(List.of(script()));
        command.addAll(Arrays.asList(arguments));
        return start(directory, Map.of(), command);
    }

    /** Starts any command that becomes a vublk process. */
    static VublkLauncher start(Path directory, Map<String, String> environment, List<String> command)
            throws IOException {
        return start(directory, environment, command, Files.createTempFile(directory, "vublk", ".err"));
    }

    static VublkLauncher start(Path directory, Map<String, String> environment, List<String> command, Path err)
            throws IOException {
        // A shell's background job, or nohup, which these tests may run under, ignores these, and so would all that it
        // starts.
        List<String> heedful = new ArrayList<>(List.of("env", "--default-signal=INT,HUP"));
        heedful.addAll(command);
        ProcessBuilder builder =
                new ProcessBuilder(heedful).directory(directory.toFile()).redirectError(err.toFile());
        builder.environment().putAll(environment);
        return new VublkLauncher(builder.start(), err);
    }

    /** Runs to its end. */
    static CapturedRun run(Path directory, String... arguments) throws Exception {
        try (VublkLauncher vublk = start(directory, arguments)) {
            return vublk.awaitEnd();
        }
    }

    /** The rest of what it prints, once it has ended by itself. */
    CapturedRun awaitEnd() throws Exception {
        String rest = within(() -> {
            StringBuilder text = new StringBuilder();
            out.lines().forEach(line -> text.append(line).append('\n'));
            return text.toString();
        });
        return new CapturedRun(awaitExit(), rest, err());
    }

    /** The next line on standard output. */
    String awaitLine() throws Exception {
        String line = within(out::readLine);
        assertThat(line).as(this::err).isNotNull();
        return line;
    }

    /** Waits until it serves: that many {@code ready} lines. */
    VublkLauncher awaitReady(int disks) throws Exception {
        for (int i = 0; i < disks; i++) {
            assertThat(awaitLine()).startsWith("ready: ");
        }
        return this;
    }

    void signal(String name) throws Exception {
        assertThat(new ProcessBuilder("kill", "-" + name, String.valueOf(process.pid()))
                        .start()
                        .waitFor())
                .isZero();
    }

    int awaitExit() throws InterruptedException {
        assertThat(process.waitFor(LIMIT_S, TimeUnit.SECONDS)).as(this::err).isTrue();
        return process.exitValue();
    }

    /** SIGTERM, which must end it in order. */
    void stop() throws Exception {
        signal("TERM");
        assertThat(awaitExit()).as(this::err).isZero();
    }

    boolean isAlive() {
        return process.isAlive();
    }

    String err() {
        try {
            return Files.readString(err);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private interface Reading<T> {
        T read() throws IOException;
    }

    private static <T> T within(Reading<T> reading) throws Exception {
        return CompletableFuture.supplyAsync(() -> {
                    try {
                        return reading.read();
                    } catch (IOException e) {
                        throw new UncheckedIOException(e);
                    }
                })
                .get(LIMIT_S, TimeUnit.SECONDS);
    }

    @Override
    public void close() {
        process.descendants().forEach(ProcessHandle::destroyForcibly);
        process.destroyForcibly();
    }
}

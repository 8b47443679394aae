// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** A back end that is measured, running in a process of its own. One thread. */
final class ComparedServer implements AutoCloseable {
    private static final int START_S = 30;
    private static final int POLL_MS = 20;
    private static final int END_S = 10;

    final String name;
    final Path socket;
    private final Process process;

    private ComparedServer(String name, Path socket, Process process) {
        this.name = name;
        this.socket = socket;
        this.process = process;
    }

    /** Returns when its socket is there. */
    static ComparedServer start(String name, Path directory, Path socket, List<String> command)
            throws IOException, InterruptedException {
        Path log = directory.resolve(name + ".log");
        Process process = new ProcessBuilder(command)
                .redirectOutput(log.toFile())
                .redirectErrorStream(true)
                .start();
        process.getOutputStream().close();
        ComparedServer server = new ComparedServer(name, socket, process);
        for (int i = 0; i < TimeUnit.SECONDS.toMillis(START_S) / POLL_MS; i++) {
            if (Files.exists(socket)) {
                return server;
            }
            if (process.waitFor(POLL_MS, TimeUnit.MILLISECONDS)) {
                throw new IOException(
                        name + " did not start: " + Files.readString(log).strip());
            }
        }
        server.close();
        throw new IOException(name + " does not listen after " + START_S + " s");
    }

    /** The same process, seen by another of its sockets. */
    ComparedServer at(Path otherSocket) {
        return new ComparedServer(name, otherSocket, process);
    }

    long pid() {
        return process.pid();
    }

    /** Ends it at once: what it still has to do with its images is of no use. */
    void kill() {
        process.destroyForcibly();
        process.onExit().completeOnTimeout(process, END_S, TimeUnit.SECONDS).join();
    }

    @Override
    public void close() {
        process.destroy();
        process.onExit().completeOnTimeout(process, END_S, TimeUnit.SECONDS).join();
        process.destroyForcibly();
    }
}

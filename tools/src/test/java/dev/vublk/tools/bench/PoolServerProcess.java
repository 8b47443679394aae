// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** A {@link CoroutinePoolServer} in a process of its own. Used by one thread. */
final class PoolServerProcess implements AutoCloseable {
    private static final Pattern PAUSE = Pattern.compile("Pause .* ([0-9.]+)ms$");

    /** Counters by their names in {@link CoroutinePoolServer}. */
    record Statistics(Map<String, Double> values) {
        double get(String name) {
            return values.getOrDefault(name, 0.0);
        }
    }

    /** Pauses of the collector since the last look. */
    record Pauses(int count, double sumMs, double maxMs) {}

    private final List<String> sockets = new ArrayList<>();
    private final Path pauseLog;
    private final Process process;
    private final PrintWriter commands;
    private final BufferedReader answers;
    private int pausesSeen;

    private PoolServerProcess(
            Path directory,
            PoolDesign design,
            int ioThreads,
            int queues,
            int shrinkMs,
            int heapMib,
            List<String> images)
            throws IOException {
        Path own = Files.createTempDirectory(directory, "server");
        pauseLog = own.resolve("gc.log");
        List<String> line = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED",
                "--add-exports=java.base/jdk.internal.vm=ALL-UNNAMED",
                "--sun-misc-unsafe-memory-access=allow",
                "-Dslf4j.internal.verbosity=ERROR", // The API is among the tests' libraries, without a provider.
                // As scripts/vublk.
                "-XX:+UseSerialGC",
                "-Xms16m",
                "-Xmx" + heapMib + "m",
                "-Xlog:gc:file=" + pauseLog + ":none",
                "-cp",
                System.getProperty("java.class.path"),
                CoroutinePoolServer.class.getName(),
                design.name(),
                String.valueOf(ioThreads),
                String.valueOf(queues),
                String.valueOf(shrinkMs)));
        for (String image : images) {
            String socket = own.resolve("disk" + sockets.size()).toString();
            sockets.add(socket);
            line.add(socket);
            line.add(image);
        }
        process = new ProcessBuilder(line)
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        commands = new PrintWriter(process.getOutputStream(), true, StandardCharsets.UTF_8);
        answers = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
    }

    /** Returns when it is ready. The heap's default is that of {@code scripts/vublk}. */
    static PoolServerProcess start(
            Path directory,
            PoolDesign design,
            int ioThreads,
            int queues,
            int shrinkMs,
            int heapMib,
            List<String> images)
            throws IOException {
        PoolServerProcess server =
                new PoolServerProcess(directory, design, ioThreads, queues, shrinkMs, heapMib, images);
        String ready = server.answers.readLine();
        if (ready == null || !ready.startsWith("ready")) {
            server.close();
            throw new IOException("the server did not start: " + ready);
        }
        return server;
    }

    long pid() {
        return process.pid();
    }

    /** Of the disk with that index. */
    String socket(int disk) {
        return sockets.get(disk);
    }

    /** Counters now. */
    Statistics statistics() throws IOException {
        return ask("statistics");
    }

    /** Counters after a collection of garbage. */
    Statistics statisticsAfterGc() throws IOException {
        return ask("gc");
    }

    private Statistics ask(String command) throws IOException {
        commands.println(command);
        String answer = answers.readLine();
        if (answer == null) {
            throw new IOException("the server has ended");
        }
        Map<String, Double> values = new HashMap<>();
        for (String pair : answer.split(" ", -1)) {
            int equals = pair.indexOf('=');
            values.put(pair.substring(0, equals), Double.parseDouble(pair.substring(equals + 1)));
        }
        return new Statistics(values);
    }

    /** Pauses of the collector since the last call. */
    Pauses pauses() throws IOException {
        List<String> lines = Files.readAllLines(pauseLog);
        int count = 0;
        double sumMs = 0;
        double maxMs = 0;
        for (String line : lines.subList(pausesSeen, lines.size())) {
            Matcher pause = PAUSE.matcher(line);
            if (pause.find()) {
                double ms = Double.parseDouble(pause.group(1));
                count++;
                sumMs += ms;
                maxMs = Math.max(maxMs, ms);
            }
        }
        pausesSeen = lines.size();
        return new Pauses(count, sumMs, maxMs);
    }

    @Override
    public void close() {
        commands.close(); // The end of its input ends it.
        try {
            if (!process.waitFor(10, TimeUnit.SECONDS)) {
                process.destroyForcibly();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            process.destroyForcibly();
        }
    }
}

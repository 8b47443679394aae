// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.stream.Stream;

/** What measurements need of the machine they run on, and what its kernel tells of processes. Any thread. */
final class Machine {
    private static final int MIB = 1 << 20;

    private Machine() {}

    static String processorName() throws IOException {
        return Files.readAllLines(Path.of("/proc/cpuinfo")).stream()
                .filter(line -> line.startsWith("model name"))
                .map(line -> line.substring(line.indexOf(':') + 1).strip())
                .findFirst()
                .orElse("unknown processor");
    }

    /** Written, not sparse: holes would be read without touching memory. */
    static void fill(Path image, int mib) throws IOException {
        byte[] block = new byte[MIB];
        new Random(1).nextBytes(block);
        try (var stream = Files.newOutputStream(image)) {
            for (int i = 0; i < mib; i++) {
                stream.write(block);
            }
        }
    }

    /** What a program prints that ends well; what it complains of goes to standard error. */
    static String output(List<String> command) throws IOException, InterruptedException {
        Process process = new ProcessBuilder(command)
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        process.getOutputStream().close();
        String text = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        int status = process.waitFor();
        if (status != 0) {
            throw new IOException(String.join(" ", command) + ": status " + status);
        }
        return text;
    }

    static void deleteTree(Path directory) throws IOException {
        try (Stream<Path> files = Files.walk(directory)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        }
    }

    /** A number of requests a second, for people. */
    static String thousands(double value) {
        return String.format(Locale.ROOT, value < 100_000 ? "%.1fk" : "%.0fk", value / 1000);
    }

    /** KiB of memory that a process has for itself and from files, without shared memory: guests' and images on tmpfs. */
    static long residentKib(long pid) {
        Path status = Path.of("/proc", String.valueOf(pid), "status");
        return field(status, "RssAnon:") + field(status, "RssFile:");
    }

    private static long field(Path status, String name) {
        try (Stream<String> lines = Files.lines(status)) {
            return lines.filter(line -> line.startsWith(name))
                    .mapToLong(line -> Long.parseLong(
                            line.substring(name.length()).replace("kB", "").strip()))
                    .findFirst()
                    .orElse(0);
        } catch (IOException | UncheckedIOException e) {
            return 0; // The process has ended meanwhile.
        }
    }
}

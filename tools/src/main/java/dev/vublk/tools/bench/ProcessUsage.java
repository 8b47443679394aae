// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;

/**
 * What another process has used so far, as proc(5) tells it. Any thread.
 *
 * @param cpuSeconds user and system time of all threads
 * @param sleeps how often those of its threads that are still there have left the processor to wait for something
 */
public record ProcessUsage(double cpuSeconds, long sleeps) {
    /** Of nobody. */
    static final ProcessUsage NONE = new ProcessUsage(0, 0);

    /** USER_HZ: what the kernel tells times in, on every architecture that has this program. */
    private static final double TICKS_PER_SECOND = 100;

    /** Fields of /proc/PID/stat behind the command's name, which may itself contain spaces and brackets. */
    private static final int UTIME = 11;

    private static final int STIME = 12;

    private static final String SLEEPS = "voluntary_ctxt_switches:";

    static ProcessUsage of(long pid) throws IOException {
        Path process = Path.of("/proc", String.valueOf(pid));
        double cpuSeconds = cpuSeconds(Files.readString(process.resolve("stat")));
        try (Stream<Path> threads = Files.list(process.resolve("task"))) {
            return new ProcessUsage(
                    cpuSeconds, threads.mapToLong(ProcessUsage::sleepsOf).sum());
        }
    }

    static double cpuSeconds(String stat) {
        String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ", -1);
        return (Long.parseLong(fields[UTIME]) + Long.parseLong(fields[STIME])) / TICKS_PER_SECOND;
    }

    private static long sleepsOf(Path thread) {
        try (Stream<String> lines = Files.lines(thread.resolve("status"))) {
            return sleeps(lines);
        } catch (IOException | UncheckedIOException e) {
            return 0; // The thread has ended meanwhile.
        }
    }

    static long sleeps(Stream<String> status) {
        return status.filter(line -> line.startsWith(SLEEPS))
                .mapToLong(
                        line -> Long.parseLong(line.substring(SLEEPS.length()).strip()))
                .findFirst()
                .orElse(0);
    }

    ProcessUsage since(ProcessUsage before) {
        return new ProcessUsage(cpuSeconds - before.cpuSeconds, Math.max(0, sleeps - before.sleeps));
    }

    ProcessUsage plus(ProcessUsage other) {
        return new ProcessUsage(cpuSeconds + other.cpuSeconds, sleeps + other.sleeps);
    }
}

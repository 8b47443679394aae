// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/**
 * What another process has used so far, as proc(5) tells it. Any thread.
 *
 * @param cpuSeconds user and system time of all threads
 * @param sleeps how often those of its threads that are still there have left the processor to wait for something
 * @param preemptions how often they have been taken off it
 */
public record ProcessUsage(double cpuSeconds, long sleeps, long preemptions) {
    /** Of nobody. */
    static final ProcessUsage NONE = new ProcessUsage(0, 0, 0);

    /** USER_HZ: what the kernel tells times in, on every architecture that has this program. */
    private static final double TICKS_PER_SECOND = 100;

    /** Fields of /proc/PID/stat behind the command's name, which may itself contain spaces and brackets. */
    private static final int UTIME = 11;

    private static final int STIME = 12;

    private static final String SLEEPS = "voluntary_ctxt_switches:";
    private static final String PREEMPTIONS = "nonvoluntary_ctxt_switches:";

    static ProcessUsage of(long pid) throws IOException {
        Path process = Path.of("/proc", String.valueOf(pid));
        ProcessUsage usage = new ProcessUsage(cpuSeconds(Files.readString(process.resolve("stat"))), 0, 0);
        try (Stream<Path> threads = Files.list(process.resolve("task"))) {
            return threads.map(ProcessUsage::switchesOf).reduce(usage, ProcessUsage::plus);
        }
    }

    static double cpuSeconds(String stat) {
        String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ", -1);
        return (Long.parseLong(fields[UTIME]) + Long.parseLong(fields[STIME])) / TICKS_PER_SECOND;
    }

    private static ProcessUsage switchesOf(Path thread) {
        try {
            return switches(Files.readAllLines(thread.resolve("status")));
        } catch (IOException e) {
            return NONE; // The thread has ended meanwhile.
        }
    }

    static ProcessUsage switches(List<String> status) {
        return new ProcessUsage(0, field(status, SLEEPS), field(status, PREEMPTIONS));
    }

    private static long field(List<String> status, String name) {
        return status.stream()
                .filter(line -> line.startsWith(name))
                .mapToLong(line -> Long.parseLong(line.substring(name.length()).strip()))
                .findFirst()
                .orElse(0);
    }

    /** How often its threads have left the processor, of themselves or not. */
    public long switches() {
        return sleeps + preemptions;
    }

    ProcessUsage since(ProcessUsage before) {
        return new ProcessUsage(
                cpuSeconds - before.cpuSeconds,
                Math.max(0, sleeps - before.sleeps),
                Math.max(0, preemptions - before.preemptions));
    }

    ProcessUsage plus(ProcessUsage other) {
        return new ProcessUsage(cpuSeconds + other.cpuSeconds, sleeps + other.sleeps, preemptions + other.preemptions);
    }
}

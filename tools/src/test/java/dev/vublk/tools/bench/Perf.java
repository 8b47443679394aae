// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** The kernel's perf, looking at one process for some seconds. Any thread. */
final class Perf {
    private static final String EVERY_SYSTEM_CALL = "raw_syscalls:sys_enter";
    private static final String SYSTEM_CALL = "syscalls:sys_enter_";

    private Perf() {}

    /** System calls a second. */
    static double systemCalls(long pid, double seconds) throws IOException, InterruptedException {
        return count(pid, List.of(EVERY_SYSTEM_CALL), seconds).getOrDefault(EVERY_SYSTEM_CALL, Double.NaN);
    }

    /** So many a second of each of the system calls of these names; and, last, of {@code all}. */
    static Map<String, Double> systemCalls(long pid, List<String> names, double seconds)
            throws IOException, InterruptedException {
        List<String> events =
                new ArrayList<>(names.stream().map(name -> SYSTEM_CALL + name).toList());
        events.add(EVERY_SYSTEM_CALL);
        Map<String, Double> rates = new LinkedHashMap<>();
        count(pid, events, seconds)
                .forEach((event, rate) -> rates.put(
                        event.equals(EVERY_SYSTEM_CALL) ? "all" : event.substring(SYSTEM_CALL.length()), rate));
        return rates;
    }

    private static Map<String, Double> count(long pid, List<String> events, double seconds)
            throws IOException, InterruptedException {
        String counted = Machine.output(perf(
                "stat",
                "-x,",
                "-o",
                "/dev/stdout",
                "-e",
                String.join(",", events),
                "-p",
                String.valueOf(pid),
                seconds));
        Map<String, Double> rates = new LinkedHashMap<>();
        for (String line : counted.lines().toList()) {
            String[] fields = line.split(",", -1);
            if (fields.length > 2 && events.contains(fields[2])) {
                rates.put(fields[2], Double.parseDouble(fields[0]) / seconds);
            }
        }
        if (rates.size() < events.size()) {
            throw new IOException("perf stat does not count " + events + ": " + counted.strip());
        }
        return rates;
    }

    /** The stacks of the process's threads, so many times a second of the time they take: lines of {@code perf script}. */
    static String stacks(long pid, int perSecond, double seconds, Path data) throws IOException, InterruptedException {
        String _ = Machine.output(perf(
                "record",
                "-q",
                "-e",
                "cpu-clock",
                "-F",
                String.valueOf(perSecond),
                "-g",
                "-o",
                data.toString(),
                "-p",
                String.valueOf(pid),
                seconds));
        return Machine.output(List.of("perf", "script", "-i", data.toString(), "-F", "comm,tid,ip,sym"));
    }

    private static List<String> perf(Object... words) {
        List<String> command = new ArrayList<>(List.of("perf"));
        for (Object word : words) {
            if (word instanceof Double seconds) {
                command.addAll(List.of("--", "sleep", String.format(Locale.ROOT, "%.3f", seconds)));
            } else {
                command.add(word.toString());
            }
        }
        return command;
    }
}

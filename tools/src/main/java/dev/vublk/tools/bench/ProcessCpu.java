// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** The CPU time of another process, as proc(5) tells it. Any thread. */
final class ProcessCpu {
    /** USER_HZ: what the kernel tells times in, on every architecture that has this program. */
    private static final double TICKS_PER_SECOND = 100;

    /** Fields of /proc/PID/stat behind the command's name, which may itself contain spaces and brackets. */
    private static final int UTIME = 11;

    private static final int STIME = 12;

    private ProcessCpu() {}

    /** User and system time of all threads so far. */
    static double seconds(long pid) throws IOException {
        return parse(Files.readString(Path.of("/proc/" + pid + "/stat")));
    }

    static double parse(String stat) {
        String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ", -1);
        return (Long.parseLong(fields[UTIME]) + Long.parseLong(fields[STIME])) / TICKS_PER_SECOND;
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/**
 * Finds out who else holds locks of an image. The kernel does not tell whose an open-file-description lock is, but
 * {@code /proc/PID/fdinfo} lists the locks of each descriptor. For an error message only: best effort, any thread.
 */
final class LockHolders {
    /** Enough to act on; more would not fit a line. */
    private static final int NAMED_MAX = 3;

    private LockHolders() {}

    /** The holders beside {@code fd} itself, as {@code qemu-system-x86 (pid 4711)}, or "another process". */
    static String describe(int fd) {
        Set<String> names = new LinkedHashSet<>();
        String inode = lockedInode(Path.of("/proc/self/fdinfo", Integer.toString(fd)));
        if (!inode.isEmpty()) {
            Path own = Path.of("/proc", Long.toString(ProcessHandle.current().pid()), "fdinfo", Integer.toString(fd));
            for (Path process : entries(Path.of("/proc"), "[0-9]*")) {
                for (Path descriptor : entries(process.resolve("fdinfo"), "*")) {
                    if (!descriptor.equals(own) && lockedInode(descriptor).equals(inode)) {
                        names.add(name(process));
                    }
                }
            }
        }
        return names.isEmpty()
                ? "another process"
                : String.join(", ", names.stream().limit(NAMED_MAX).toList());
    }

    /**
     * The {@code major:minor:inode} of the file that the descriptor locks by open-file-description locks, or nothing.
     * The line reads {@code lock: 1: OFDLCK ADVISORY READ -1 fe:00:2154698 100 101}.
     */
    private static String lockedInode(Path descriptor) {
        try {
            for (String line : Files.readAllLines(descriptor)) {
                String[] words = line.split("\\s+", -1);
                if (words.length >= 7 && words[0].equals("lock:") && words[2].equals("OFDLCK")) {
                    return words[6];
                }
            }
        } catch (IOException goneOrForbidden) {
            return "";
        }
        return "";
    }

    private static List<Path> entries(Path directory, String glob) {
        List<Path> found = new ArrayList<>();
        try (DirectoryStream<Path> stream = Files.newDirectoryStream(directory, glob)) {
            stream.forEach(found::add);
        } catch (IOException | java.nio.file.DirectoryIteratorException goneOrForbidden) {
            return found;
        }
        return found;
    }

    private static String name(Path process) {
        String pid = process.getFileName() + "";
        try {
            return Files.readString(process.resolve("comm")).strip() + " (pid " + pid + ")";
        } catch (IOException gone) {
            return "pid " + pid;
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;

/**
 * What this process holds that a leak would add to.
 *
 * @param fds open descriptors, but for the files that the virtual machine opens and closes when it loads classes
 * @param guestMappings mappings of guests' memory files, ours and theirs
 * @param rings mappings of io_uring rings
 * @param threads live threads of the emulator and of tests' loops
 */
public record ProcessResources(long fds, long guestMappings, long rings, long threads) {

    public static ProcessResources now() {
        try (Stream<Path> fds = Files.list(Path.of("/proc/self/fd"))) {
            long count = fds.filter(ProcessResources::isOurs).count();
            return new ProcessResources(count, mappings("memfd:vublk-guest"), mappings("io_uring"), liveThreads());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Whether there is nothing more than {@code before}. Less may be: the collector closes what others left open. */
    public boolean areWithin(ProcessResources before) {
        return fds <= before.fds
                && guestMappings <= before.guestMappings
                && rings <= before.rings
                && threads <= before.threads;
    }

    private static boolean isOurs(Path fd) {
        try {
            String target = Files.readSymbolicLink(fd).toString();
            return !target.endsWith(".jar") && !target.startsWith("/proc/") && !target.startsWith("/usr/lib/jvm/");
        } catch (IOException e) {
            return false; // Closed since it was listed.
        }
    }

    private static long mappings(String name) throws IOException {
        try (Stream<String> maps = Files.lines(Path.of("/proc/self/maps"))) {
            return maps.filter(line -> line.contains(name)).count();
        }
    }

    private static long liveThreads() {
        return Thread.getAllStackTraces().keySet().stream()
                .filter(thread -> thread.getName().startsWith("vublk-")
                        || thread.getName().startsWith("test-"))
                .count();
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;

/**
 * What this process holds that a leak would add to.
 *
 * @param fds open descriptors
 * @param guestMappings mappings of guests' memory files and in-flight regions
 * @param threads live threads named as a control loop
 */
public record ProcessResources(long fds, long guestMappings, long threads) {

    public static ProcessResources now() {
        try (Stream<Path> fds = Files.list(Path.of("/proc/self/fd"));
                Stream<String> maps = Files.lines(Path.of("/proc/self/maps"))) {
            return new ProcessResources(
                    fds.count(),
                    maps.filter(line -> line.contains("memfd:vublk-")).count(),
                    Thread.getAllStackTraces().keySet().stream()
                            .filter(thread -> thread.getName().equals("control-loop"))
                            .count());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}

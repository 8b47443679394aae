// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.e2e;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Path;

/** Disk images and block devices for guests. */
final class DiskImages {
    static final long MIB = 1 << 20;

    private DiskImages() {}

    static Path sparse(Path directory, String name, long sizeBytes) throws IOException {
        Path image = directory.resolve(name);
        resize(image, sizeBytes);
        return image;
    }

    static void resize(Path image, long sizeBytes) throws IOException {
        try (RandomAccessFile file = new RandomAccessFile(image.toFile(), "rw")) {
            file.setLength(sizeBytes);
        }
    }

    /** Runs a host command, which must succeed; returns what it printed, trimmed. */
    static String run(String... command) throws IOException {
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String printed = new String(process.getInputStream().readAllBytes(), java.nio.charset.StandardCharsets.UTF_8);
        assertThat(process.onExit().join().exitValue())
                .as(String.join(" ", command) + "\n" + printed)
                .isZero();
        return printed.strip();
    }

    /** A loop device over a file; closing it gives it back. Needs root. */
    static final class LoopDevice implements AutoCloseable {
        final Path path;

        LoopDevice(Path image, int sectorBytes) throws IOException {
            path = Path.of(
                    run("losetup", "--find", "--show", "--sector-size", String.valueOf(sectorBytes), image.toString()));
        }

        @Override
        public void close() throws IOException {
            run("losetup", "--detach", path.toString());
        }
    }
}

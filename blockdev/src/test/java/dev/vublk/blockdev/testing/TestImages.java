// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.testing;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Image files for tests. */
public final class TestImages {
    private TestImages() {}

    /** Where images are tried: the directory for temporary files, and tmpfs where the machine has one. */
    public static List<Path> directories() {
        List<Path> found = new ArrayList<>(List.of(Path.of(System.getProperty("java.io.tmpdir"))));
        if (Files.isWritable(Path.of("/dev/shm"))) {
            found.add(Path.of("/dev/shm"));
        }
        return found;
    }

    /** A new sparse image of zeroes. */
    public static Path file(Path directory, long sizeBytes) throws IOException {
        Path image = Files.createTempFile(directory, "vublk-test", ".raw");
        setSize(image, sizeBytes);
        return image;
    }

    public static void setSize(Path image, long sizeBytes) throws IOException {
        try (RandomAccessFile file = new RandomAccessFile(image.toFile(), "rw")) {
            file.setLength(sizeBytes);
        }
    }
}

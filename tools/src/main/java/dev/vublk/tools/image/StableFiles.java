// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/** Small files and names that must outlast a power cut. Any thread. */
final class StableFiles {
    private StableFiles() {}

    /** Writes a file, all of it stable. */
    static void write(Path path, byte[] content) throws IOException {
        try (FileChannel file = FileChannel.open(
                path, StandardOpenOption.CREATE, StandardOpenOption.TRUNCATE_EXISTING, StandardOpenOption.WRITE)) {
            ByteBuffer bytes = ByteBuffer.wrap(content);
            while (bytes.hasRemaining()) {
                file.write(bytes);
            }
            file.force(true);
        }
    }

    /** Makes a name stable that was given or taken. */
    static void syncDirectoryOf(Path path) throws IOException {
        try (FileChannel directory = FileChannel.open(path.resolveSibling("."), StandardOpenOption.READ)) {
            directory.force(true);
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.cbw;

import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.BlockOptions.CacheMode;
import dev.vublk.blockdev.BlockOptions.Locking;
import dev.vublk.blockdev.ImageType;
import dev.vublk.blockdev.file.FileBlockDriver;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;

/** Makes the files in which snapshots keep what was overwritten. Any thread. */
public final class SnapshotStore {
    private static final int BLOCK_BYTES = 4096;

    private SnapshotStore() {}

    /**
     * A disk of zeroes in a sparse file that has no name, and is gone with the driver or the process.
     *
     * @throws IOException it cannot be made: one line for the user
     */
    public static BlockDriver create(Path directory, long sizeBytes) throws IOException {
        Path file;
        try {
            file = Files.createTempFile(directory, "vublk-snapshot-", ".tmp"); // 0600
        } catch (IOException e) {
            throw new IOException(directory + ": cannot keep a snapshot there: " + e.getMessage(), e);
        }
        try {
            try (RandomAccessFile sparse = new RandomAccessFile(file.toFile(), "rw")) {
                sparse.setLength((sizeBytes + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES);
            }
            return FileBlockDriver.open(BlockOptions.of(file.toString())
                    .withType(ImageType.RAW)
                    .withCacheMode(CacheMode.UNSAFE)
                    .withLocking(Locking.OFF));
        } finally {
            Files.delete(file);
        }
    }
}

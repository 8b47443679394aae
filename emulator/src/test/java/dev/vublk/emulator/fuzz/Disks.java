// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.fuzz;

import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockDrivers;
import dev.vublk.blockdev.BlockOpenException;
import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.BlockOptions.CacheMode;
import dev.vublk.blockdev.BlockOptions.IoEngine;
import dev.vublk.blockdev.BlockOptions.Locking;
import dev.vublk.blockdev.ZoneOptions;
import dev.vublk.blockdev.file.SimulatedFileDriver;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** The disks that targets run on: all of one size, their content an array. */
final class Disks {
    static final int BYTES = 1 << 20;
    static final int ZONE_BYTES = 128 << 10;

    /** Files that real drivers open; memory, where there is such a directory. */
    static final Path DIRECTORY = makeDirectory();

    private Disks() {}

    private static Path makeDirectory() {
        try {
            Path parent = Path.of("/dev/shm");
            Path made = Files.isWritable(parent)
                    ? Files.createTempDirectory(parent, "vublk-fuzz")
                    : Files.createTempDirectory("vublk-fuzz");
            Runtime.getRuntime().addShutdownHook(new Thread(() -> removeAll(made)));
            return made;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static void removeAll(Path directory) {
        try (var files = Files.newDirectoryStream(directory)) {
            for (Path file : files) {
                Files.delete(file);
            }
            Files.delete(directory);
        } catch (IOException e) {
            // A few small files stay.
        }
    }

    /** One of the kinds of disk there are. */
    static BlockDriver open(int kind) {
        return switch (kind % 4) {
            case 0 -> SimulatedFileDriver.open(BYTES, CacheMode.WRITEBACK, 512, 4);
            case 1 -> SimulatedFileDriver.open(BYTES, CacheMode.NONE, 4096, 512);
            case 2 -> zoned();
            default -> SimulatedFileDriver.open(BYTES, CacheMode.WRITETHROUGH, 512, 4);
        };
    }

    private static BlockDriver zoned() {
        try {
            Path image = image();
            Files.deleteIfExists(metadata());
            return openZoned(image, new ZoneOptions(metadata().toString(), ZONE_BYTES, ZONE_BYTES - 4096, 1, 2, 3));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    static BlockDriver openZoned(Path image, ZoneOptions zones) throws BlockOpenException {
        return BlockDrivers.open(BlockOptions.of(image.toString())
                .withEngine(IoEngine.IO_URING)
                .withLocking(Locking.OFF)
                .withZones(zones));
    }

    static Path metadata() {
        return DIRECTORY.resolve("disk.zones");
    }

    static Path image() throws IOException {
        Path image = DIRECTORY.resolve("disk.img");
        if (!Files.exists(image)) {
            try (RandomAccessFile file = new RandomAccessFile(image.toFile(), "rw")) {
                file.setLength(BYTES);
            }
        }
        return image;
    }
}

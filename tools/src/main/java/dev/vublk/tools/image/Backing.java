// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockDrivers;
import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.BlockOptions.IoEngine;
import dev.vublk.blockdev.ImageType;
import dev.vublk.blockdev.qcow2.Qcow2Header;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/** The backing file of an image that is being made, opened to be compared with; or none. Thread-safe. */
final class Backing implements AutoCloseable {
    private final @Nullable BlockDriver driver;
    private final String name;

    private Backing(@Nullable BlockDriver driver, String name) {
        this.driver = driver;
        this.name = name;
    }

    /**
     * Opens the backing file that a new image's header names.
     *
     * @param target the image's path: relative names are relative to its directory
     */
    static Backing of(@Nullable Qcow2Header header, String target) throws IOException {
        String name = header == null ? null : header.backingFile();
        if (header == null || name == null) {
            return new Backing(null, "");
        }
        Path path = Path.of(target).toAbsolutePath().resolveSibling(name);
        String format = header.backingFormat();
        if (format == null) {
            throw new IllegalArgumentException(
                    "backing_fmt is missing: what is the format of " + name + "? (-F raw|qcow2)");
        }
        BlockOptions options = BlockOptions.of(path.toString())
                .withReadOnly(true)
                .withType(type(format))
                .withEngine(IoEngine.THREADS);
        return new Backing(BlockDrivers.open(options), path.toString());
    }

    private static ImageType type(String format) {
        return switch (format) {
            case "raw", "qcow2" -> ImageType.valueOf(format.toUpperCase(Locale.ROOT));
            default -> throw new IllegalArgumentException("backing_fmt: '" + format + "' is neither raw nor qcow2");
        };
    }

    /** What compares pieces with it, after {@code zeroes} has looked at them; just that where there is no backing file. */
    PieceFilter filter(PieceFilter zeroes, int unitBytes, int pieceBytes) {
        return driver == null ? zeroes : new BackingFilter(driver, name, unitBytes, pieceBytes, zeroes);
    }

    @Override
    public void close() {
        if (driver != null) {
            driver.close();
        }
    }
}

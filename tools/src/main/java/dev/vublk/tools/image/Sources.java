// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import dev.vublk.blockdev.BlockDrivers;
import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.BlockOptions.IoEngine;
import dev.vublk.blockdev.ImageType;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;

/** Opens what a copy reads. Any thread. */
final class Sources {
    private Sources() {}

    /** @param startBytes where to begin, a multiple of {@code chunkBytes} */
    static ImageSource open(
            ConversionOptions options, int chunkBytes, int unitBytes, long startBytes, BrokenSectors broken)
            throws IOException {
        if (options.control() != null) {
            return ControlSource.open(options.control(), options.source(), chunkBytes, unitBytes);
        }
        if (options.source().equals("-")
                || (options.sourceType() == ImageType.AUTO && isCompressed(options.source()))) {
            return StreamSource.open(options.source(), options.sourceType() == ImageType.AUTO, chunkBytes, unitBytes);
        }
        BlockOptions disk = BlockOptions.of(options.source())
                .withReadOnly(true)
                .withType(options.sourceType())
                .withSnapshot(options.snapshot())
                .withEngine(IoEngine.THREADS)
                .withCacheMode(options.sourceCache())
                .withForceShare(options.forceShare());
        return new DriverSource(BlockDrivers.open(disk), options.source(), chunkBytes, unitBytes, startBytes, broken);
    }

    /** Whether a regular file begins as a compressed stream does. */
    private static boolean isCompressed(String path) throws IOException {
        if (!Files.isRegularFile(Path.of(path))) {
            return false;
        }
        try (InputStream in = Files.newInputStream(Path.of(path))) {
            return StreamSource.isCompressed(in.readNBytes(4));
        } catch (IOException e) {
            // Not taken for an image as it is: that would be another disk.
            throw new IOException(path + ": cannot be read: " + TargetFile.reason(e), e);
        }
    }
}

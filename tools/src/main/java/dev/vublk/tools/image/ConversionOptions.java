// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import dev.vublk.blockdev.BlockOptions.CacheMode;
import dev.vublk.blockdev.ImageType;
import org.jspecify.annotations.Nullable;

/**
 * What is to be converted into what, as the user asked for it; not checked against what there is.
 *
 * @param source path of an image or device, or {@code -}
 * @param control socket of a running export that has the source as one of its disks; null when it is a file
 * @param sourceType its format
 * @param snapshot internal snapshot of the source to be read; null for its present state
 * @param forceShare whether the source is read without regard to anybody's locks
 * @param target path of a file or device, or {@code -}
 * @param sourceCache how the source is read: with or without the page cache
 * @param targetCache how the target is written, and whether it is made stable
 * @param targetFormat {@code raw} or {@code qcow2}
 * @param targetOptions options of that format
 * @param compression how data is compressed; null for not at all
 * @param threadCount how many threads copy, or compress
 * @param zeroUnitBytes zeroes are looked for in units of so many bytes; 0: not at all, and everything is stored
 * @param existing whether the target is there already and is written into
 * @param targetIsZero whether an existing target is known to read as zeroes
 * @param bytesPerSecond how fast to copy, 0 for as fast as possible
 * @param skipBroken whether sectors that cannot be read become zeroes
 * @param resume whether a copy that is interrupted can be gone on with
 * @param journal where to keep how far it is; null for a file beside the target
 */
public record ConversionOptions(
        String source,
        @Nullable String control,
        ImageType sourceType,
        @Nullable String snapshot,
        boolean forceShare,
        CacheMode sourceCache,
        CacheMode targetCache,
        String target,
        String targetFormat,
        FormatOptions targetOptions,
        @Nullable Compression compression,
        int threadCount,
        int zeroUnitBytes,
        boolean existing,
        boolean targetIsZero,
        long bytesPerSecond,
        boolean skipBroken,
        boolean resume,
        @Nullable String journal) {

    /**
     * How data is compressed.
     *
     * @param type {@code zlib} or {@code zstd}
     * @param level 0 for the type's usual one
     * @param storesWhenBusy whether a block goes out as it is when every compressing thread is busy; otherwise it waits
     */
    public record Compression(String type, int level, boolean storesWhenBusy) {}
}

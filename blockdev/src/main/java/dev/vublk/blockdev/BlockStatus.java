// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev;

import org.jspecify.annotations.Nullable;

/**
 * What a disk knows of a run of its bytes, as {@link BlockChannel#status} found it. A mutable holder that its caller owns and
 * may use again; in QEMU's words, so that {@code qemu-img map} and ours say the same.
 */
public final class BlockStatus {
    /** Length of the run that the rest is about: at least 512, at most what was asked for. */
    public long lengthBytes;
    /** Whether the run is known to read as zeroes. */
    public boolean zero;
    /** Whether the run's bytes are stored somewhere in this image or below it. */
    public boolean data;
    /** Whether some image of the chain has an entry for the run; otherwise nobody has, and it reads as zeroes. */
    public boolean present;
    /** Whether the bytes are stored compressed. */
    public boolean compressed;
    /** Which image of the backing chain answers: 0 for the opened one, 1 for its backing file, and so on. */
    public int depth;
    /** Where the bytes stand in {@link #file}, or -1 when they stand nowhere as they are. */
    public long fileOffsetBytes;
    /** The file that {@link #fileOffsetBytes} is about; null when that is -1. */
    public @Nullable String file;

    /** Sets every field. */
    public void set(
            long newLengthBytes,
            boolean isPresent,
            boolean isZero,
            boolean isData,
            boolean isCompressed,
            int newDepth,
            long newFileOffsetBytes,
            @Nullable String newFile) {
        lengthBytes = newLengthBytes;
        present = isPresent;
        zero = isZero;
        data = isData;
        compressed = isCompressed;
        depth = newDepth;
        fileOffsetBytes = newFileOffsetBytes;
        file = newFile;
    }
}

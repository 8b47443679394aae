// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import dev.vublk.blockdev.file.OfflineFile;
import java.io.IOException;

/** A raw image in a new file, sparse unless told otherwise: where the disk has zeroes, nothing is written. */
final class RawTarget implements ImageTarget {
    /** A page: what files have holes by. */
    static final int UNIT_BYTES = 4096;

    /** What of a new file is given space at once. */
    enum Preallocation {
        /** Nothing: zeroes are holes. */
        OFF,
        /** All of it, by the file system. */
        FALLOC,
        /** All of it, by writing zeroes. */
        FULL
    }

    private final OfflineFile file;
    private final Preallocation preallocation;

    /**
     * @param file an empty file, or one that a copy before this one has begun; stays the caller's
     * @param sizeBytes of the disk, or {@link ImageSource#UNKNOWN}
     * @param startBytes how much of a begun file is right; the rest is dropped
     */
    RawTarget(OfflineFile file, Preallocation preallocation, long sizeBytes, long startBytes) throws IOException {
        this.file = file;
        this.preallocation = preallocation;
        file.setSize(startBytes);
        if (sizeBytes > 0) {
            file.setSize(sizeBytes);
            if (preallocation == Preallocation.FALLOC) {
                file.allocate(0, sizeBytes);
            }
        }
    }

    @Override
    public int unitBytes() {
        return UNIT_BYTES;
    }

    @Override
    public void write(Chunk chunk) throws IOException {
        for (int i = 0; i < chunk.runCount(); i++) {
            long start = chunk.runStart(i);
            long length = chunk.runEnd(i) - start;
            if (chunk.kind(i) == Chunk.Kind.DATA) {
                file.write(chunk.address(start), chunk.offsetBytes() + start, (int) length);
            } else if (preallocation == Preallocation.FULL) {
                ZeroPage.write(file, chunk.offsetBytes() + start, length);
            }
        }
    }

    @Override
    public void finish(long sizeBytes) throws IOException {
        file.setSize(sizeBytes);
    }

    @Override
    public void close() {}
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

/** Whether sectors that cannot be read are skipped, and how many were. Any thread. */
final class BrokenSectors {
    private final boolean skipped;
    private long countBytes;
    private long firstOffsetBytes = -1;

    /** @param skipped whether they read as zeroes; otherwise the first one is an error */
    BrokenSectors(boolean skipped) {
        this.skipped = skipped;
    }

    boolean areSkipped() {
        return skipped;
    }

    synchronized void add(long offsetBytes, int lengthBytes) {
        if (firstOffsetBytes < 0 || offsetBytes < firstOffsetBytes) {
            firstOffsetBytes = offsetBytes;
        }
        countBytes += lengthBytes;
    }

    /** How many bytes could not be read. */
    synchronized long countBytes() {
        return countBytes;
    }

    /** Where the first of them is, or -1. */
    synchronized long firstOffsetBytes() {
        return firstOffsetBytes;
    }
}

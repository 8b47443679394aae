// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.NativeMemory;

/**
 * Makes the disk in an image that is written larger, while requests go on. Runs on its caller's loop, while nobody else changes the
 * L1 table.
 *
 * <p>One write of the header's first sector is what does it; whatever moment it is interrupted at, the disk has one of the two
 * sizes, and at worst an L1 table that nobody uses is lost, which a check gives back.
 */
final class ImageGrowth {
    /** So many runs of clusters are looked at for one that holds the L1 table. Arbitrary. */
    private static final int RUNS_MAX = 64;

    private static final int COPIED_BYTES = 64 << 10;

    private final WritableImage image;
    private final MetadataFile file;
    private final int clusterBits;

    /** Whether the header could not be written, and may name another L1 table than the one that is in use. */
    private boolean isUncertain;

    ImageGrowth(WritableImage image, MetadataFile file) {
        this.image = image;
        this.file = file;
        this.clusterBits = image.header.clusterBits();
    }

    /**
     * Writes what a larger disk needs, and lets the L1 table in memory be as long.
     *
     * @param entriesNeeded how long the L1 table has to be at least
     * @return 0, or a negative errno
     */
    int to(long sizeBytes, int entriesNeeded) {
        int entries = image.l1.size();
        if (entriesNeeded <= entries) {
            return image.headerUpdate.size(file, sizeBytes, image.l1.fileOffset(), entries);
        }
        return entriesNeeded <= clusters(entries) << (clusterBits - 3)
                ? lengthen(sizeBytes, entriesNeeded)
                : move(sizeBytes, entriesNeeded);
    }

    /** Whether nobody can tell any more which L1 table the file will have. */
    boolean isUncertain() {
        return isUncertain;
    }

    private long clusters(int entries) {
        return Math.ceilDiv((long) entries << 3, 1L << clusterBits);
    }

    /** The table's last cluster has room for the new entries. */
    private int lengthen(long sizeBytes, int entriesNeeded) {
        int result = writeEntries(image.l1.fileOffset(), image.l1.size(), entriesNeeded);
        if (result == 0) {
            result = file.flush();
        }
        if (result == 0) {
            result = image.headerUpdate.size(file, sizeBytes, image.l1.fileOffset(), entriesNeeded);
        }
        if (result == 0) {
            grow(image.l1.fileOffset(), entriesNeeded);
        }
        return result;
    }

    /** A longer table in other clusters takes the table's place. */
    private int move(long sizeBytes, int entriesNeeded) {
        long count = clusters(entriesNeeded);
        ClusterRun run = new ClusterRun();
        int result = allocate(count, run);
        if (result < 0) {
            return result;
        }
        long offset = run.cluster << clusterBits;
        result = writeEntries(offset, 0, entriesNeeded);
        if (result == 0) {
            result = file.flush();
        }
        if (result < 0) {
            image.freed.add(run.cluster, count, false);
            return result;
        }
        image.metadata.add(run.cluster, count);
        result = image.headerUpdate.size(file, sizeBytes, offset, entriesNeeded);
        isUncertain = result < 0;
        if (isUncertain) {
            return result;
        }
        long oldCluster = image.l1.fileOffset() >>> clusterBits;
        long oldCount = clusters(image.l1.size());
        grow(offset, entriesNeeded);
        if (oldCount > 0) {
            image.metadata.remove(oldCluster, oldCount);
            image.freed.add(oldCluster, oldCount, false);
        }
        return 0;
    }

    /** Clusters that follow each other, as long as there are some among the first free ones. */
    private int allocate(long count, ClusterRun out) {
        for (int i = 0; i < RUNS_MAX; i++) {
            int result = image.allocator.allocate(file, count, out);
            if (result < 0 || out.count == count) {
                return result;
            }
            image.freed.add(out.cluster, out.count, false);
        }
        return -Errno.ENOSPC;
    }

    private void grow(long offset, int entries) {
        image.l1.grow(offset, entries);
        image.cache.grow();
    }

    /** Writes entries of the table as they are; those that it does not have yet are 0. */
    private int writeEntries(long tableOffset, int from, int to) {
        long buffer = NativeMemory.allocate(COPIED_BYTES);
        if (buffer == 0) {
            return -Errno.ENOMEM;
        }
        try {
            int result = 0;
            for (int at = from; at < to && result == 0; at += COPIED_BYTES >>> 3) {
                int count = Math.min(to - at, COPIED_BYTES >>> 3);
                for (int i = 0; i < count; i++) {
                    long entry = at + i < image.l1.size() ? image.l1.get(at + i) : 0;
                    NativeMemory.putLong(buffer + 8L * i, Long.reverseBytes(entry));
                }
                result = file.write(tableOffset + 8L * at, buffer, count << 3, false);
            }
            return result;
        } finally {
            NativeMemory.free(buffer);
        }
    }
}

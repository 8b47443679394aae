// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.NativeMemory;

/**
 * Gives an L1 entry a new L2 table: an empty one, or a copy of one that snapshots share. Runs on its caller's loop, while nobody
 * else changes the L1 table.
 */
final class L2TableCopy {
    private static final int SECTOR_BYTES = 512;
    private static final int ENTRIES_PER_SECTOR = SECTOR_BYTES / Qcow2Layout.L1_ENTRY_BYTES;

    private final WritableImage image;
    private final MetadataFile file;
    private final int clusterBits;

    L2TableCopy(WritableImage image, MetadataFile file) {
        this.image = image;
        this.file = file;
        this.clusterBits = image.header.clusterBits();
    }

    /**
     * The new table is in the file, and stable, before the L1 entry names it; the old one is given back when the L1 entry is. What
     * a failure leaves, the old table or the new one, says the same; the new one is a leak if it is not named.
     */
    int replace(int l1Index) {
        // As it is: a full disk says so here, where nothing is in doubt, and not when the new entry is written.
        int result = writeEntry(l1Index, image.l1.get(l1Index));
        if (result < 0) {
            return result;
        }
        ClusterRun table = new ClusterRun();
        result = image.allocator.allocate(file, 1, table);
        if (result < 0) {
            return result;
        }
        long oldOffset = image.l1.tableOffset(l1Index);
        result = fill(table.cluster << clusterBits, oldOffset);
        if (result == 0 && oldOffset != 0) {
            result = file.flush(); // An empty table is stable as it is: a new cluster reads as zeroes.
        }
        if (result < 0) {
            image.freed.add(table.cluster, 1, false);
            return result;
        }
        image.metadata.add(table.cluster, 1);
        long entry = table.cluster << clusterBits | Qcow2Layout.OFLAG_COPIED;
        result = writeEntry(l1Index, entry);
        if (result < 0) {
            return result;
        }
        image.countCommit();
        image.cache.moveTable(l1Index, entry);
        if (oldOffset != 0) {
            image.metadata.remove(oldOffset >>> clusterBits, 1);
            image.freed.add(oldOffset >>> clusterBits, 1, false);
        }
        return 0;
    }

    /** Zeroes are written too, so that the file has space for entries before anything depends on one. */
    private int fill(long targetOffset, long sourceOffset) {
        int bytes = 1 << clusterBits;
        long buffer = NativeMemory.allocateZeroed(bytes);
        if (buffer == 0) {
            return -Errno.ENOMEM;
        }
        try {
            int result = sourceOffset == 0 ? 0 : file.read(sourceOffset, buffer, bytes);
            return result == 0 ? file.write(targetOffset, buffer, bytes, false) : result;
        } finally {
            NativeMemory.free(buffer);
        }
    }

    /** Writes the sector of the table that has the entry: a disk writes it as a whole. */
    private int writeEntry(int l1Index, long entry) {
        long buffer = NativeMemory.allocate(SECTOR_BYTES);
        if (buffer == 0) {
            return -Errno.ENOMEM;
        }
        try {
            int first = l1Index & -ENTRIES_PER_SECTOR;
            for (int i = 0; i < ENTRIES_PER_SECTOR; i++) {
                int index = first + i;
                long value = index == l1Index ? entry : index < image.l1.size() ? image.l1.get(index) : 0;
                NativeMemory.putLong(buffer + 8L * i, Long.reverseBytes(value));
            }
            return file.write(image.l1.fileOffset() + 8L * first, buffer, SECTOR_BYTES, false);
        } finally {
            NativeMemory.free(buffer);
        }
    }
}

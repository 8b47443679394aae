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
        ClusterRun table = new ClusterRun();
        int result = image.allocator.allocate(file, 1, table);
        if (result < 0) {
            return result;
        }
        long oldOffset = image.l1.tableOffset(l1Index);
        if (oldOffset != 0) {
            result = copy(oldOffset, table.cluster << clusterBits);
            if (result == 0) {
                result = file.flush();
            }
            if (result < 0) {
                image.freed.add(table.cluster, 1, false);
                return result;
            }
        } // An empty table needs nothing: a new cluster reads as zeroes.
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

    private int copy(long sourceOffset, long targetOffset) {
        int bytes = 1 << clusterBits;
        long buffer = NativeMemory.allocate(bytes);
        if (buffer == 0) {
            return -Errno.ENOMEM;
        }
        try {
            int result = file.read(sourceOffset, buffer, bytes);
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

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.NativeMemory;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * A larger refcount table and the blocks that count it, on free clusters behind everything that is used:
 *
 * <pre>
 *   cluster               cluster + blockCount
 *   | new refcount blocks | new refcount table            |
 * </pre>
 *
 * @param cluster where the blocks begin
 * @param firstBlock index of the first new block; the old table does not reach it
 * @param blockCount how many there are: enough to count themselves and the table
 * @param tableClusters length of the new table
 */
record RefcountTableGrowth(
        long cluster, int firstBlock, int blockCount, int tableClusters, int clusterBits, int blockBits) {

    /** What is needed to count from {@code cluster} on; null when the format has no such large table. */
    static @Nullable RefcountTableGrowth plan(long cluster, int capacity, int clusterBits, int blockBits) {
        long firstBlock = cluster >>> blockBits;
        long entriesPerCluster = 1L << (clusterBits - 3);
        int blockCount = 1;
        while (true) {
            // Half as large again, so that the table seldom moves.
            long entries = Math.max(capacity + capacity / 2L, firstBlock + blockCount);
            long tableClusters = Math.ceilDiv(entries, entriesPerCluster);
            if (tableClusters << clusterBits > Qcow2Layout.REFCOUNT_TABLE_MAX_BYTES) {
                return null;
            }
            long lastBlock = (cluster + blockCount + tableClusters - 1) >>> blockBits;
            int needed = (int) (lastBlock - firstBlock) + 1;
            if (needed <= blockCount) {
                return new RefcountTableGrowth(
                        cluster, (int) firstBlock, blockCount, (int) tableClusters, clusterBits, blockBits);
            }
            blockCount = needed;
        }
    }

    long tableCluster() {
        return cluster + blockCount;
    }

    /** The entries of the new table. */
    long[] blockOffsets(long[] oldOffsets) {
        long[] offsets = Arrays.copyOf(oldOffsets, tableClusters << (clusterBits - 3));
        for (int i = 0; i < blockCount; i++) {
            offsets[firstBlock + i] = (cluster + i) << clusterBits;
        }
        return offsets;
    }

    /** Writes blocks and table and makes them stable; nobody names them yet. */
    int write(MetadataFile file, long[] oldOffsets, int order) {
        long tableBytes = (long) tableClusters << clusterBits;
        long buffer = NativeMemory.allocate(tableBytes);
        if (buffer == 0) {
            return -Errno.ENOMEM;
        }
        try {
            int result = 0;
            for (int i = 0; i < blockCount && result == 0; i++) {
                fillBlock(buffer, firstBlock + i, order);
                result = file.write((cluster + i) << clusterBits, buffer, 1 << clusterBits, false);
            }
            if (result == 0) {
                long[] offsets = blockOffsets(oldOffsets);
                for (int i = 0; i < offsets.length; i++) {
                    NativeMemory.putLong(buffer + 8L * i, Long.reverseBytes(offsets[i]));
                }
                result = file.write(tableCluster() << clusterBits, buffer, (int) tableBytes, false);
            }
            return result == 0 ? file.flush() : result;
        } finally {
            NativeMemory.free(buffer);
        }
    }

    private void fillBlock(long buffer, int block, int order) {
        NativeMemory.zero(buffer, 1L << clusterBits);
        long start = (long) block << blockBits;
        long end = start + (1L << blockBits);
        long usedEnd = Math.min(end, cluster + blockCount + tableClusters);
        for (long at = Math.max(start, cluster); at < usedEnd; at++) {
            RefcountEntries.set(buffer, order, (int) (at - start), 1);
        }
    }
}

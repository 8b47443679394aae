// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static dev.vublk.blockdev.qcow2.Qcow2Layout.*;

import dev.vublk.blockdev.file.OfflineFile;
import dev.vublk.blockdev.linux.NativeMemory;
import java.io.IOException;
import java.util.ArrayDeque;
import java.util.Arrays;

/**
 * Clusters of a file that only grows, and their refcounts: refcount blocks are written, behind what they are about, as soon as
 * nothing in them can change any more, so that one or two are in memory. Used by one thread at a time.
 *
 * <pre>
 *   | header | … data, L2 tables … | block 0 | … | block 1 | … | L1 table | last blocks | refcount table |
 * </pre>
 */
final class AppendedClusters implements AutoCloseable {
    private final OfflineFile file;
    private final int clusterBits;
    private final int order;
    private final int blockBits;

    /** The first cluster that nobody has. */
    private long next;

    /** Refcounts of clusters before this one are final. */
    private long changeable;

    /** Offsets of the blocks that have been written: the first ones. */
    private long[] written = new long[16];

    private int writtenCount;

    /** Addresses of the blocks behind them, in order. */
    private final ArrayDeque<Long> open = new ArrayDeque<>();

    AppendedClusters(OfflineFile file, int clusterBits, int refcountOrder) {
        this.file = file;
        this.clusterBits = clusterBits;
        order = refcountOrder;
        blockBits = clusterBits + 3 - refcountOrder;
    }

    /** The first cluster that nobody has. */
    long next() {
        return next;
    }

    /** Takes clusters for one user; the first one. */
    long allocate(long count) throws IOException {
        long first = allocateUncounted(count);
        for (long cluster = first; cluster < first + count; cluster++) {
            count(cluster);
        }
        return first;
    }

    /** Takes clusters whose users are still to be counted; each must get one. */
    long allocateUncounted(long count) {
        long first = next;
        next += count;
        return first;
    }

    /** Counts one more user. */
    void count(long cluster) throws IOException {
        RefcountEntries.set(block(cluster), order, index(cluster), refcount(cluster) + 1);
    }

    /** Whether a cluster can have one more user. */
    boolean canCount(long cluster) throws IOException {
        return refcount(cluster) != RefcountEntries.max(order);
    }

    private long refcount(long cluster) throws IOException {
        return RefcountEntries.get(block(cluster), order, index(cluster));
    }

    private int index(long cluster) {
        return (int) (cluster & ((1L << blockBits) - 1));
    }

    private long block(long cluster) throws IOException {
        long number = cluster >>> blockBits;
        if (number >= REFCOUNT_TABLE_MAX_BYTES / REFCOUNT_TABLE_ENTRY_BYTES) {
            throw new IOException(file.name() + ": the image would be too large for clusters of this size");
        }
        while (number >= writtenCount + open.size()) {
            open.add(NativeMemory.allocateZeroed(1L << clusterBits));
        }
        int skip = (int) (number - writtenCount);
        for (long address : open) {
            if (skip-- == 0) {
                return address;
            }
        }
        throw new IllegalStateException("the refcount of cluster " + cluster + " is final");
    }

    /** Nothing is counted in clusters before {@code cluster} any more: writes blocks that are final with that. */
    void settle(long cluster) throws IOException {
        changeable = Math.max(changeable, cluster);
        while (!open.isEmpty() && (writtenCount + 1L) << blockBits <= Math.min(changeable, next)) {
            // Its own cluster is behind all that it covers.
            writeBlock(allocate(1));
        }
    }

    private void writeBlock(long cluster) throws IOException {
        long address = open.remove();
        try {
            file.write(address, cluster << clusterBits, 1 << clusterBits);
        } finally {
            NativeMemory.free(address);
        }
        if (writtenCount == written.length) {
            written = Arrays.copyOf(written, 2 * writtenCount);
        }
        written[writtenCount++] = cluster << clusterBits;
    }

    /** Writes what is left, and the refcount table, which it returns as a cluster and a number of clusters. */
    Table finish() throws IOException {
        long blocks = 0;
        long tableClusters = 0;
        long before = -1;
        // They count themselves: more of them need more of them, until there are enough.
        while (before != blocks + tableClusters) {
            before = blocks + tableClusters;
            long total = next + before;
            long allBlocks = (total + (1L << blockBits) - 1) >>> blockBits;
            blocks = allBlocks - writtenCount;
            tableClusters = (allBlocks * REFCOUNT_TABLE_ENTRY_BYTES + (1L << clusterBits) - 1) >>> clusterBits;
        }
        long first = allocate(blocks + tableClusters);
        for (long i = 0; i < blocks; i++) {
            writeBlock(first + i);
        }
        Table table = new Table(first + blocks, (int) tableClusters);
        writeTable(table);
        return table;
    }

    private void writeTable(Table table) throws IOException {
        byte[] bytes = new byte[Math.toIntExact((long) table.clusterCount << clusterBits)];
        BigEndian.putAll(bytes, written, writtenCount);
        file.write(bytes, table.firstCluster << clusterBits);
    }

    /** Where the refcount table is. */
    record Table(long firstCluster, int clusterCount) {}

    @Override
    public void close() {
        open.forEach(NativeMemory::free);
        open.clear();
    }
}

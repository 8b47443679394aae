// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.NativeMemory;

/**
 * The refcounts of an image's clusters: the table in memory, and the blocks that are in use. Thread-compatible: its user lets one
 * caller in at a time, also while that one waits for the file.
 *
 * <p>A changed block is written before the call returns; when that fails the refcounts in memory are as they were, while those
 * in the file may be either. They are only ever raised before and lowered after their use, so what a failure or a crash leaves
 * in the file is at worst too high: a leak.
 */
final class RefcountTable implements AutoCloseable {
    /** Says that no cluster was found; unlike every errno. */
    static final long NONE = Long.MIN_VALUE;

    /** What the file takes as one write; blocks are written in whole such pieces, for O_DIRECT's sake. */
    private static final int PIECE_BYTES = 4096;

    private final int clusterBits;
    private final int order;
    private final int blockBits;
    private final long maxRefcount;
    private final MetadataClusters metadata;
    private final RefcountBlockCache cache;

    private long tableOffset;
    private int tableClusters;
    /** Where each refcount block is; 0 where there is none. */
    private long[] blockOffsets;

    private boolean uncertain;

    /**
     * The refcounts of an image that was opened.
     *
     * @param blockOffsets the table's entries, checked: multiples of the cluster size
     */
    RefcountTable(Qcow2Header header, long[] blockOffsets, MetadataClusters metadata) {
        this.clusterBits = header.clusterBits();
        this.order = header.refcountOrder();
        this.blockBits = header.refcountBlockBits();
        this.maxRefcount = RefcountEntries.max(order);
        this.tableOffset = header.refcountTableOffset();
        this.tableClusters = header.refcountTableClusters();
        this.blockOffsets = blockOffsets.clone();
        this.metadata = metadata;
        this.cache = new RefcountBlockCache(1 << clusterBits);
    }

    /** How many clusters one block counts. */
    long clustersPerBlock() {
        return 1L << blockBits;
    }

    /** Which block counts this cluster. */
    long blockIndex(long cluster) {
        return cluster >>> blockBits;
    }

    /** Whether the cluster is counted by a block that exists. */
    boolean hasBlock(long cluster) {
        long block = blockIndex(cluster);
        return block < blockOffsets.length && blockOffsets[(int) block] != 0;
    }

    /** Whether the table has room for the block of this cluster. */
    boolean reaches(long cluster) {
        return blockIndex(cluster) < blockOffsets.length;
    }

    /** A cluster's refcount, or a negative errno. */
    long get(MetadataFile file, long cluster) {
        if (!hasBlock(cluster)) {
            return 0;
        }
        long address = load(file, (int) blockIndex(cluster));
        return address < 0 ? address : RefcountEntries.get(address, order, indexInBlock(cluster));
    }

    /**
     * The first cluster at or behind {@code cluster}, counted by the same block, that is free and holds no metadata; {@link
     * #NONE}, or a negative errno. Where the block does not exist, nothing is found.
     */
    long nextFree(MetadataFile file, long cluster) {
        if (!hasBlock(cluster)) {
            return NONE;
        }
        long address = load(file, (int) blockIndex(cluster));
        if (address < 0) {
            return address;
        }
        long end = blockEnd(cluster);
        for (long at = cluster; at < end; at++) {
            if (RefcountEntries.get(address, order, indexInBlock(at)) == 0) {
                return at;
            }
        }
        return NONE;
    }

    /** How many clusters from a free one on are free, {@code most} at most, counted by the same block; or a negative errno. */
    long freeRun(MetadataFile file, long cluster, long most) {
        long address = load(file, (int) blockIndex(cluster));
        if (address < 0) {
            return address;
        }
        long end = Math.min(blockEnd(cluster), cluster + most);
        long at = cluster;
        while (at < end && RefcountEntries.get(address, order, indexInBlock(at)) == 0) {
            at++;
        }
        return at - cluster;
    }

    /** Where the block of a cluster ends: the first cluster that the next one counts. */
    long blockEnd(long cluster) {
        return (blockIndex(cluster) + 1) << blockBits;
    }

    private int indexInBlock(long cluster) {
        return (int) (cluster & (clustersPerBlock() - 1));
    }

    /**
     * Raises or lowers by one the refcounts of clusters, which all have a block.
     *
     * @return 0, {@code -EOVERFLOW} for a refcount that cannot be raised, {@code -EINVAL} for one that is 0 already, or what the
     *     file said
     */
    int change(MetadataFile file, long firstCluster, long count, int delta, boolean stable) {
        long done = 0;
        while (done < count) {
            long cluster = firstCluster + done;
            long step = Math.min(count - done, blockEnd(cluster) - cluster);
            int result = changeInBlock(file, cluster, step, delta, stable);
            if (result < 0) {
                return result;
            }
            done += step;
        }
        return 0;
    }

    private int changeInBlock(MetadataFile file, long cluster, long count, int delta, boolean stable) {
        if (!hasBlock(cluster)) {
            return -Errno.EINVAL;
        }
        int block = (int) blockIndex(cluster);
        long address = load(file, block);
        if (address < 0) {
            return (int) address;
        }
        int first = indexInBlock(cluster);
        for (int i = 0; i < count; i++) {
            long refcount = RefcountEntries.get(address, order, first + i);
            if (delta > 0 && refcount >= maxRefcount) {
                return -Errno.EOVERFLOW;
            }
            if (delta < 0 && refcount == 0) {
                return -Errno.EINVAL;
            }
        }
        add(address, first, count, delta);
        int result = writeBack(file, block, address, first, count, stable);
        if (result < 0) {
            add(address, first, count, -delta);
        }
        return result;
    }

    /**
     * Lowers by one the refcounts of many runs of clusters, given in ascending order, with one write for each block. Goes on when
     * something goes wrong: what is lowered in memory only, or not at all, is a leak in the file.
     *
     * @return 0, or the first negative errno
     */
    int lower(MetadataFile file, FreedRuns runs) {
        int firstFailure = 0;
        int dirtyBlock = -1;
        int low = 0;
        int high = 0;
        for (int i = 0; i < runs.size(); i++) {
            long end = runs.cluster(i) + runs.count(i);
            for (long at = runs.cluster(i); at < end; at++) {
                int block = (int) Math.min(blockIndex(at), Integer.MAX_VALUE);
                if (block != dirtyBlock && dirtyBlock >= 0) {
                    int result = writeDirty(file, dirtyBlock, low, high);
                    firstFailure = firstFailure == 0 ? result : firstFailure;
                    dirtyBlock = -1;
                }
                long address = hasBlock(at) ? load(file, block) : -Errno.EINVAL;
                long refcount = address < 0 ? address : RefcountEntries.get(address, order, indexInBlock(at));
                if (refcount <= 0) {
                    int failure = refcount < 0 ? (int) refcount : -Errno.EINVAL;
                    firstFailure = firstFailure == 0 ? failure : firstFailure;
                    continue;
                }
                RefcountEntries.set(address, order, indexInBlock(at), refcount - 1);
                low = dirtyBlock < 0 ? indexInBlock(at) : Math.min(low, indexInBlock(at));
                high = dirtyBlock < 0 ? indexInBlock(at) : Math.max(high, indexInBlock(at));
                dirtyBlock = block;
            }
        }
        int result = dirtyBlock < 0 ? 0 : writeDirty(file, dirtyBlock, low, high);
        return firstFailure == 0 ? result : firstFailure;
    }

    private int writeDirty(MetadataFile file, int block, int low, int high) {
        return writeBack(file, block, cache.find(block), low, high - low + 1L, false);
    }

    private void add(long address, int first, long count, int delta) {
        for (int i = 0; i < count; i++) {
            RefcountEntries.set(address, order, first + i, RefcountEntries.get(address, order, first + i) + delta);
        }
    }

    private int writeBack(MetadataFile file, int block, long address, int first, long count, boolean stable) {
        long piece = Math.min(PIECE_BYTES, 1 << clusterBits);
        long start = RefcountEntries.byteOffset(order, first) & -piece;
        long end = (RefcountEntries.byteOffset(order, (int) (first + count - 1)) & -piece) + piece;
        return file.write(blockOffsets[block] + start, address + start, (int) (end - start), stable);
    }

    /** The block's content in memory, or a negative errno. Addresses of memory are never negative. */
    private long load(MetadataFile file, int block) {
        long address = cache.find(block);
        if (address != 0) {
            return address;
        }
        address = cache.replace();
        if (address == 0) {
            return -Errno.ENOMEM;
        }
        int result = file.read(blockOffsets[block], address, 1 << clusterBits);
        if (result < 0) {
            return result;
        }
        cache.keep(block, address);
        return address;
    }

    /**
     * Makes the block that counts {@code cluster}, in that very cluster, which lies behind everything that is used: so the block
     * is the first thing that it counts. Stable when the call returns 0.
     */
    int addBlock(MetadataFile file, long cluster) {
        long address = cache.replace();
        if (address == 0) {
            return -Errno.ENOMEM;
        }
        int block = (int) blockIndex(cluster);
        NativeMemory.zero(address, 1L << clusterBits);
        RefcountEntries.set(address, order, indexInBlock(cluster), 1);
        int result = file.write(cluster << clusterBits, address, 1 << clusterBits, false);
        if (result == 0) {
            // As it is: a full disk says so here, where nothing is in doubt.
            result = writeTableEntry(file, block, 0, false);
        }
        if (result == 0) {
            result = file.flush(); // The file's new length too.
        }
        if (result == 0) {
            result = writeTableEntry(file, block, cluster << clusterBits, true);
            uncertain |= result < 0;
        }
        if (result == 0) {
            blockOffsets[block] = cluster << clusterBits;
            metadata.add(cluster, 1);
            cache.keep(block, address);
        }
        return result;
    }

    private int writeTableEntry(MetadataFile file, int block, long blockOffset, boolean stable) {
        // A whole sector, with its neighbours as they are.
        int perSector = 512 / Qcow2Layout.REFCOUNT_TABLE_ENTRY_BYTES;
        int first = block / perSector * perSector;
        long buffer = NativeMemory.allocate(512);
        if (buffer == 0) {
            return -Errno.ENOMEM;
        }
        try {
            for (int i = 0; i < perSector; i++) {
                long offset = first + i == block ? blockOffset : blockOffsets[first + i];
                NativeMemory.putLong(buffer + 8L * i, Long.reverseBytes(offset));
            }
            return file.write(tableOffset + 8L * first, buffer, 512, stable);
        } finally {
            NativeMemory.free(buffer);
        }
    }

    /** How many clusters from {@code cluster} on {@link #grow} would write; 0 when it cannot. */
    int growthClusters(long cluster) {
        RefcountTableGrowth growth = RefcountTableGrowth.plan(cluster, blockOffsets.length, clusterBits, blockBits);
        return growth == null ? 0 : growth.blockCount() + growth.tableClusters();
    }

    /**
     * Moves the table to {@code cluster}, behind everything that is used, with room for more blocks than before; the blocks that
     * count it and what is about it stand before it. Stable when the call returns 0; then the old table is no more used.
     *
     * @param header writes the table's new place into the header, stable
     * @return 0, {@code -ENOSPC} when the format has no larger table, or what the file said
     */
    int grow(MetadataFile file, long cluster, HeaderUpdate header) {
        RefcountTableGrowth growth = RefcountTableGrowth.plan(cluster, blockOffsets.length, clusterBits, blockBits);
        if (growth == null) {
            return -Errno.ENOSPC;
        }
        int result = growth.write(file, blockOffsets, order);
        if (result == 0) {
            result = header.refcountTable(file, growth.tableCluster() << clusterBits, growth.tableClusters());
            uncertain |= result < 0;
        }
        if (result < 0) {
            return result;
        }
        long oldCluster = tableOffset >>> clusterBits;
        int oldClusters = tableClusters;
        metadata.remove(oldCluster, oldClusters);
        metadata.add(cluster, growth.blockCount() + growth.tableClusters());
        blockOffsets = growth.blockOffsets(blockOffsets);
        tableOffset = growth.tableCluster() << clusterBits;
        tableClusters = growth.tableClusters();
        // Nobody names the old table any more. When it cannot be given back, that is a leak and no failure.
        change(file, oldCluster, oldClusters, -1, false);
        return 0;
    }

    /** Where the table ends: a cluster. */
    long tableEnd() {
        return (tableOffset >>> clusterBits) + tableClusters;
    }

    /** Whether the file may name another table or block than is known here, since that could not be written: the end of writing. */
    boolean isUncertain() {
        return uncertain;
    }

    @Override
    public void close() {
        cache.close();
    }
}

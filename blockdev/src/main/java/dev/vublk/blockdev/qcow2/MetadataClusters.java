// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import java.util.Arrays;

/**
 * Which clusters of the file hold metadata: header, tables, refcount blocks. Writing data there would destroy the image, so what
 * an entry names and what is allocated is looked up here first. Thread-safe.
 *
 * <p>A hash set of cluster numbers with open addressing; 0, the header's cluster, is always in it.
 */
final class MetadataClusters {
    private static final long FREE = 0;

    // Guarded by this.
    private long[] slots = new long[1024];
    private int size;

    /** Counts additions: who checked an entry looks again when this has changed. Written under the monitor, read by everybody. */
    private volatile int generation;

    /** A place that two tables claim, or that cannot be one; -1 in an image that makes sense. */
    private long wrongOffset = -1;

    /** Those of an image that was opened: header, tables in use, refcount blocks, snapshot table. */
    static MetadataClusters of(Qcow2Header header, L1Table l1, long[] refcountBlocks) {
        MetadataClusters metadata = new MetadataClusters();
        int bits = header.clusterBits();
        long clusterMask = header.clusterBytes() - 1L;
        metadata.addBytes(header.l1TableOffset(), (long) header.l1Size() * Qcow2Layout.L1_ENTRY_BYTES, bits);
        metadata.addBytes(header.refcountTableOffset(), (long) header.refcountTableClusters() << bits, bits);
        for (long offset : refcountBlocks) {
            metadata.addBytes(offset, 1, bits);
        }
        for (int i = 0; i < l1.size(); i++) {
            long offset = l1.tableOffset(i);
            metadata.addBytes(offset, 1, bits);
            metadata.wrongOffset = (offset & clusterMask) == 0 ? metadata.wrongOffset : offset;
        }
        if (header.snapshotCount() > 0) {
            metadata.addBytes(
                    header.snapshotsOffset(), (long) header.snapshotCount() * Qcow2Layout.SNAPSHOT_HEADER_BYTES, bits);
        }
        return metadata;
    }

    private synchronized void addBytes(long offsetBytes, long lengthBytes, int clusterBits) {
        long end = (offsetBytes + lengthBytes - 1) >>> clusterBits;
        for (long cluster = offsetBytes >>> clusterBits; cluster <= end; cluster++) {
            if (!addOne(cluster)) {
                wrongOffset = cluster << clusterBits;
            }
        }
    }

    /** Where two tables of the image that was opened are at once, or one is that is in no cluster; -1 if nowhere. */
    synchronized long wrongOffset() {
        return wrongOffset;
    }

    int generation() {
        return generation;
    }

    synchronized void add(long firstCluster, long count) {
        for (long cluster = firstCluster; cluster < firstCluster + count; cluster++) {
            addOne(cluster);
        }
        generation = generation + 1;
    }

    /** Whether it was none before; the first one always is the header's, and stands for a table that does not exist. */
    private boolean addOne(long cluster) {
        if (cluster == 0) {
            return true;
        }
        if (2 * (size + 1) > slots.length) {
            rehash(2 * slots.length);
        }
        int slot = find(cluster);
        if (slots[slot] == FREE) {
            slots[slot] = cluster;
            size++;
            return true;
        }
        return false;
    }

    synchronized void remove(long firstCluster, long count) {
        for (long cluster = firstCluster; cluster < firstCluster + count; cluster++) {
            int slot = find(cluster);
            if (cluster != 0 && slots[slot] != FREE) {
                slots[slot] = FREE;
                size--;
                closeGap(slot);
            }
        }
    }

    /** Entries behind a freed slot may have been put there because it was taken. */
    private void closeGap(int freed) {
        for (int slot = next(freed); slots[slot] != FREE; slot = next(slot)) {
            long cluster = slots[slot];
            slots[slot] = FREE;
            slots[find(cluster)] = cluster;
        }
    }

    synchronized boolean contains(long cluster) {
        return cluster == 0 || slots[find(cluster)] != FREE;
    }

    /** Whether one of these clusters holds metadata. */
    synchronized boolean containsAny(long firstCluster, long count) {
        for (long cluster = firstCluster; cluster < firstCluster + count; cluster++) {
            if (cluster == 0 || slots[find(cluster)] != FREE) {
                return true;
            }
        }
        return false;
    }

    synchronized void clear() {
        Arrays.fill(slots, FREE);
        size = 0;
    }

    private int find(long cluster) {
        int slot = (int) ((cluster * 0x9e37_79b9_7f4a_7c15L) >>> 32) & (slots.length - 1);
        while (slots[slot] != FREE && slots[slot] != cluster) {
            slot = next(slot);
        }
        return slot;
    }

    private int next(int slot) {
        return (slot + 1) & (slots.length - 1);
    }

    private void rehash(int newLength) {
        long[] old = slots;
        slots = new long[newLength];
        for (long cluster : old) {
            if (cluster != FREE) {
                slots[find(cluster)] = cluster;
            }
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static dev.vublk.blockdev.qcow2.Qcow2Layout.*;

import dev.vublk.blockdev.file.OfflineFile;
import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.blockdev.qcow2.ReferenceCounts.Role;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Makes a new refcount table with new blocks, for an image whose own cannot be corrected. It stands behind the end of the file,
 * table first; when it is stable, one write of the header puts it into force, and what the old one took is free. One thread.
 */
final class RefcountRebuild {
    private final OfflineFile file;
    private final Qcow2Header header;
    private final ReferenceCounts counts;
    private final int clusterBits;
    private final int blockBits;
    private final long fileBytes;
    private final long firstCluster;

    private final int l1Entries;
    private final int l1Clusters;

    private int tableClusters;
    private List<Integer> blocks = List.of();

    private RefcountRebuild(OfflineFile file, Qcow2Header header, ReferenceCounts counts, int l1Entries)
            throws IOException {
        this.l1Entries = l1Entries;
        l1Clusters = -Math.floorDiv(-l1Entries * L1_ENTRY_BYTES, header.clusterBytes());
        this.file = file;
        this.header = header;
        this.counts = counts;
        clusterBits = header.clusterBits();
        blockBits = header.refcountBlockBits();
        fileBytes = file.sizeBytes();
        firstCluster = Math.max(-Math.floorDiv(-fileBytes, header.clusterBytes()), counts.end());
    }

    static void run(OfflineFile file, Qcow2Header header) throws IOException {
        run(file, header, 0, header.sizeBytes());
    }

    /** The same, with a longer copy of the L1 table besides, for a larger disk. The old table is a leak then. */
    static void runWithL1(OfflineFile file, Qcow2Header header, int l1Entries, long sizeBytes) throws IOException {
        run(file, header, l1Entries, sizeBytes);
    }

    private static void run(OfflineFile file, Qcow2Header header, int l1Entries, long sizeBytes) throws IOException {
        try (ReferenceCounts counts = new ReferenceCounts();
                StoredRefcounts stored = new StoredRefcounts(file, header);
                ReferenceWalk walk =
                        new ReferenceWalk(file, header, stored, counts, new CheckFindings(finding -> {}))) {
            walk.runWithoutRefcounts();
            RefcountRebuild rebuild = new RefcountRebuild(file, header, counts, l1Entries);
            rebuild.plan();
            rebuild.write(sizeBytes);
        }
    }

    /** The table and its blocks have refcounts too: goes on until what is planned has room for itself. */
    private void plan() throws IOException {
        long planned;
        do {
            planned = plannedClusters();
            long endCluster = firstCluster + planned;
            blocks = neededBlocks(endCluster);
            long tableEntries = ((endCluster - 1) >> blockBits) + 1;
            tableClusters = (int) Math.max(1, -Math.floorDiv(-tableEntries * Long.BYTES, header.clusterBytes()));
        } while (plannedClusters() != planned);
        if (((long) tableClusters << clusterBits) > REFCOUNT_TABLE_MAX_BYTES) {
            throw new IOException(file.name() + ": qcow2: the file is too long for a refcount table");
        }
        for (long cluster = firstCluster; cluster < firstCluster + planned; cluster++) {
            counts.add(cluster, Role.METADATA);
        }
    }

    private long plannedClusters() {
        return (long) l1Clusters + tableClusters + blocks.size();
    }

    /** The blocks for all clusters that are referred to, and for those from the first new one to {@code endCluster}. */
    private List<Integer> neededBlocks(long endCluster) {
        List<Integer> needed = new ArrayList<>();
        long cluster = counts.nextCounted(0, firstCluster);
        while (cluster < firstCluster) {
            long block = cluster >> blockBits;
            needed.add((int) block);
            cluster = counts.nextCounted(Math.min((block + 1) << blockBits, firstCluster), firstCluster);
        }
        for (long block = firstCluster >> blockBits; block <= (endCluster - 1) >> blockBits; block++) {
            if (needed.isEmpty() || needed.getLast() < block) {
                needed.add((int) block);
            }
        }
        return needed;
    }

    private void write(long sizeBytes) throws IOException {
        try {
            if (l1Clusters > 0) {
                writeL1();
            }
            writeTable();
            for (int i = 0; i < blocks.size(); i++) {
                writeBlock(blocks.get(i), offsetOfBlock(i));
            }
            file.sync();
        } catch (IOException failure) {
            cutOff(failure);
            throw failure;
        }
        switchOver(sizeBytes);
        file.sync();
    }

    /** The fields of the header from the size on, which lie in one sector: all of them change, or none. */
    private void switchOver(long sizeBytes) throws IOException {
        ByteBuffer fields = ByteBuffer.allocate(HEADER_NB_SNAPSHOTS - HEADER_SIZE);
        fields.putLong(sizeBytes)
                .putInt(CRYPT_NONE)
                .putInt(l1Clusters > 0 ? l1Entries : header.l1Size())
                .putLong(l1Clusters > 0 ? firstCluster << clusterBits : header.l1TableOffset())
                .putLong(tableOffset())
                .putInt(tableClusters);
        file.write(fields.array(), HEADER_SIZE);
    }

    private void writeL1() throws IOException {
        byte[] old = file.read(header.l1TableOffset(), header.l1Size() * L1_ENTRY_BYTES);
        file.write(Arrays.copyOf(old, l1Clusters << clusterBits), firstCluster << clusterBits);
    }

    private long tableOffset() {
        return (firstCluster + l1Clusters) << clusterBits;
    }

    /** Nothing refers to what was written so far. */
    private void cutOff(IOException failure) {
        try {
            file.setSize(fileBytes);
        } catch (IOException e) {
            failure.addSuppressed(e);
        }
    }

    private long offsetOfBlock(int ordinal) {
        return tableOffset() + (((long) tableClusters + ordinal) << clusterBits);
    }

    private void writeTable() throws IOException {
        ByteBuffer table = ByteBuffer.allocate(tableClusters << clusterBits);
        for (int i = 0; i < blocks.size(); i++) {
            table.putLong(blocks.get(i) * REFCOUNT_TABLE_ENTRY_BYTES, offsetOfBlock(i));
        }
        file.write(table.array(), tableOffset());
    }

    private void writeBlock(int block, long offset) throws IOException {
        long buffer = NativeMemory.allocateZeroed(header.clusterBytes());
        try {
            long first = (long) block << blockBits;
            long end = first + (1L << blockBits);
            for (long cluster = counts.nextCounted(first, end);
                    cluster < end;
                    cluster = counts.nextCounted(cluster + 1, end)) {
                RefcountEntries.set(buffer, header.refcountOrder(), (int) (cluster - first), counts.count(cluster));
            }
            file.write(buffer, offset, header.clusterBytes());
        } finally {
            NativeMemory.free(buffer);
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static dev.vublk.blockdev.qcow2.Qcow2Layout.*;

import dev.vublk.blockdev.file.OfflineFile;
import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.blockdev.qcow2.ReferenceCounts.Role;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
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

    private int tableClusters;
    private List<Integer> blocks = List.of();

    private RefcountRebuild(OfflineFile file, Qcow2Header header, ReferenceCounts counts) throws IOException {
        this.file = file;
        this.header = header;
        this.counts = counts;
        clusterBits = header.clusterBits();
        blockBits = header.refcountBlockBits();
        fileBytes = file.sizeBytes();
        firstCluster = Math.max(-Math.floorDiv(-fileBytes, header.clusterBytes()), counts.end());
    }

    static void run(OfflineFile file, Qcow2Header header) throws IOException {
        try (ReferenceCounts counts = new ReferenceCounts();
                StoredRefcounts stored = new StoredRefcounts(file, header);
                ReferenceWalk walk =
                        new ReferenceWalk(file, header, stored, counts, new CheckFindings(finding -> {}))) {
            walk.runWithoutRefcounts();
            RefcountRebuild rebuild = new RefcountRebuild(file, header, counts);
            rebuild.plan();
            rebuild.write();
        }
    }

    /** The table and its blocks have refcounts too: goes on until what is planned has room for itself. */
    private void plan() throws IOException {
        long planned;
        do {
            planned = (long) tableClusters + blocks.size();
            long endCluster = firstCluster + planned;
            blocks = neededBlocks(endCluster);
            long tableEntries = ((endCluster - 1) >> blockBits) + 1;
            tableClusters = (int) Math.max(1, -Math.floorDiv(-tableEntries * Long.BYTES, header.clusterBytes()));
        } while ((long) tableClusters + blocks.size() != planned);
        if (((long) tableClusters << clusterBits) > REFCOUNT_TABLE_MAX_BYTES) {
            throw new IOException(file.name() + ": qcow2: the file is too long for a refcount table");
        }
        for (long cluster = firstCluster; cluster < firstCluster + planned; cluster++) {
            counts.add(cluster, Role.METADATA);
        }
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

    private void write() throws IOException {
        try {
            writeTable();
            for (int i = 0; i < blocks.size(); i++) {
                writeBlock(blocks.get(i), offsetOfBlock(i));
            }
            file.sync();
        } catch (IOException failure) {
            cutOff(failure);
            throw failure;
        }
        byte[] pointer = ByteBuffer.allocate(Long.BYTES + Integer.BYTES)
                .putLong(firstCluster << clusterBits)
                .putInt(tableClusters)
                .array();
        file.write(pointer, HEADER_REFCOUNT_TABLE_OFFSET);
        file.sync();
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
        return (firstCluster + tableClusters + ordinal) << clusterBits;
    }

    private void writeTable() throws IOException {
        ByteBuffer table = ByteBuffer.allocate(tableClusters << clusterBits);
        for (int i = 0; i < blocks.size(); i++) {
            table.putLong(blocks.get(i) * REFCOUNT_TABLE_ENTRY_BYTES, offsetOfBlock(i));
        }
        file.write(table.array(), firstCluster << clusterBits);
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

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static dev.vublk.blockdev.qcow2.Qcow2Layout.*;

import dev.vublk.blockdev.file.OfflineFile;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Writes a new qcow2 image of which every cluster is decided about once, in any order, but best from the beginning to the end:
 * the file is only appended to, an L2 table is written when all of its clusters have been decided about, a refcount block
 * when its clusters are all taken, and the header last. Memory is bounded by how far apart the threads are that write.
 *
 * <p>Thread-safe. Offsets that methods return are for the caller to write data at, with {@link #file}.
 */
public final class Qcow2Writer implements AutoCloseable {
    private final OfflineFile file;
    private final Qcow2Header template;
    private final int clusterBits;
    private final int l2Bits;

    // What follows is guarded by this.
    private final AppendedClusters clusters;
    private final PackedClusters packed;
    private final Map<Integer, NewL2Table> openTables = new HashMap<>();
    private long[] l1 = new long[16];
    private int l1Count;

    /**
     * Begins an image. Whatever the file held is no image any more.
     *
     * @param file is written to and stays the caller's
     * @param template version, cluster size, refcount width, features, backing file and extensions of the new image
     */
    public Qcow2Writer(OfflineFile file, Qcow2Header template) throws IOException {
        this.file = file;
        this.template = template;
        clusterBits = template.clusterBits();
        l2Bits = template.l2Bits();
        clusters = new AppendedClusters(file, clusterBits, template.refcountOrder());
        packed = new PackedClusters(file, clusters, clusterBits);
        clusters.allocate(1);
        file.write(new byte[clusterBytes()], 0);
    }

    public OfflineFile file() {
        return file;
    }

    public int clusterBytes() {
        return 1 << clusterBits;
    }

    /** Whether a cluster can be said to be zeroes without being stored. */
    public boolean hasZeroClusters() {
        return template.version() != VERSION_2;
    }

    /** Decides that clusters have data of their own: where it belongs in the file, one cluster behind the other. */
    public long place(long firstCluster, int count) throws IOException {
        long offset;
        List<NewL2Table> complete = new ArrayList<>(0);
        synchronized (this) {
            offset = clusters.allocate(count) << clusterBits;
            for (int i = 0; i < count; i++) {
                long value = offset + ((long) i << clusterBits) | OFLAG_COPIED;
                set(firstCluster + i, value, SUBCLUSTERS_ALLOCATED, complete);
            }
            settle();
        }
        write(complete);
        return offset;
    }

    /** Decides that a cluster has this compressed data, which is stored. */
    public void placeCompressed(long cluster, long address, int lengthBytes) throws IOException {
        List<NewL2Table> complete = new ArrayList<>(0);
        synchronized (this) {
            long offset = packed.add(address, lengthBytes);
            set(cluster, compressedEntry(offset, lengthBytes, clusterBits), 0, complete);
            settle();
        }
        write(complete);
    }

    /** Decides that clusters read as zeroes whatever a backing file has. Not for version 2. */
    public void placeZeroes(long firstCluster, long count) throws IOException {
        boolean subclusters = template.hasSubclusters();
        List<NewL2Table> complete = new ArrayList<>(0);
        synchronized (this) {
            for (long i = 0; i < count; i++) {
                set(firstCluster + i, subclusters ? 0 : OFLAG_ZERO, SUBCLUSTERS_ZERO, complete);
            }
            settle();
        }
        write(complete);
    }

    /** Decides that clusters are those of the backing file, or zeroes where there is none. */
    public void skip(long firstCluster, long count) throws IOException {
        List<NewL2Table> complete = new ArrayList<>(0);
        synchronized (this) {
            long cluster = firstCluster;
            long end = firstCluster + count;
            while (cluster < end) {
                int inTable = (int) Math.min(end - cluster, (1L << l2Bits) - entry(cluster));
                decide(cluster, inTable, complete);
                cluster += inTable;
            }
            settle();
        }
        write(complete);
    }

    private int entry(long cluster) {
        return (int) (cluster & ((1L << l2Bits) - 1));
    }

    private void set(long cluster, long value, long bitmap, List<NewL2Table> complete) throws IOException {
        table(cluster).set(entry(cluster), value, bitmap);
        decide(cluster, 1, complete);
    }

    private NewL2Table table(long cluster) throws IOException {
        long index = cluster >>> l2Bits;
        if (index >= L1_MAX_BYTES / L1_ENTRY_BYTES) {
            throw new IOException(
                    file.name() + ": a disk of this size needs larger clusters than " + clusterBytes() + " bytes");
        }
        return openTables.computeIfAbsent((int) index, i -> new NewL2Table(i, clusterBytes(), template.l2EntryBytes()));
    }

    private void decide(long cluster, int count, List<NewL2Table> complete) throws IOException {
        NewL2Table table = table(cluster);
        if (table.decide(count)) {
            openTables.remove(table.index);
            if (place(table)) {
                complete.add(table);
            }
        }
    }

    /** Finds a place for a table; false when the image does not need it. */
    private boolean place(NewL2Table table) throws IOException {
        if (table.bytes() == null) {
            return false;
        }
        table.fileOffset = clusters.allocate(1) << clusterBits;
        if (table.index >= l1.length) {
            l1 = Arrays.copyOf(l1, Math.max(2 * l1.length, table.index + 1));
        }
        l1[table.index] = table.fileOffset | OFLAG_COPIED;
        l1Count = Math.max(l1Count, table.index + 1);
        return true;
    }

    private void write(List<NewL2Table> complete) throws IOException {
        for (NewL2Table table : complete) {
            byte[] bytes = table.bytes();
            if (bytes != null) {
                file.write(bytes, table.fileOffset);
            }
        }
    }

    private void settle() throws IOException {
        clusters.settle(packed.firstChangeable());
    }

    /**
     * Completes the image: tables, and the header as the last thing. Not made stable here. Every call of another method has
     * returned before.
     *
     * @param sizeBytes the disk's size
     */
    public synchronized void finish(long sizeBytes) throws IOException {
        packed.flush();
        List<NewL2Table> rest = new ArrayList<>();
        for (NewL2Table table : List.copyOf(openTables.values())) {
            if (place(table)) {
                rest.add(table);
            }
        }
        openTables.clear();
        write(rest);
        long coverage = template.l1EntryCoverageBytes();
        int entries = Math.toIntExact(sizeBytes / coverage + (sizeBytes % coverage == 0 ? 0 : 1));
        byte[] table =
                new byte[Math.max(1, (entries * L1_ENTRY_BYTES + clusterBytes() - 1) >>> clusterBits) << clusterBits];
        BigEndian.putAll(table, l1, Math.min(l1Count, entries));
        long l1Offset = clusters.allocate(table.length >>> clusterBits) << clusterBits;
        file.write(table, l1Offset);
        AppendedClusters.Table refcounts = clusters.finish();
        file.write(
                template.with()
                        .sizeBytes(sizeBytes)
                        .l1Table(l1Offset, entries)
                        .refcountTable(refcounts.firstCluster() << clusterBits, refcounts.clusterCount())
                        .build()
                        .encode(),
                0);
    }

    @Override
    public void close() {
        packed.close();
        clusters.close();
    }
}

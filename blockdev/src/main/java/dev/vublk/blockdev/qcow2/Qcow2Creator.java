// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static dev.vublk.blockdev.qcow2.Qcow2Layout.*;

import dev.vublk.blockdev.file.OfflineFile;
import dev.vublk.blockdev.linux.NativeMemory;
import java.io.IOException;
import java.nio.ByteBuffer;
import org.jspecify.annotations.Nullable;

/**
 * Makes an empty file into a qcow2 image whose disk reads as zeroes, or as its backing file. One thread.
 *
 * <pre>
 *   header | refcount table | refcount blocks | L1 table | L2 tables | clusters        the last two only when preallocated
 * </pre>
 */
public final class Qcow2Creator {
    /** How much zeroes are written at once. Arbitrary. */
    private static final int ZEROES_BYTES = 1 << 20;

    private final OfflineFile file;
    private final @Nullable OfflineFile dataFile;
    private final Qcow2Header template;
    private final Preallocation preallocation;
    private final int clusterBits;
    private final int clusterBytes;

    private final long l1Entries;
    private final long l1Clusters;
    private final long l2Tables;
    private final long dataClusters;
    private long tableClusters;
    private long blockClusters;

    private Qcow2Creator(
            OfflineFile file, @Nullable OfflineFile dataFile, Qcow2Header template, Preallocation preallocation)
            throws IOException {
        this.file = file;
        this.dataFile = dataFile;
        this.template = template;
        this.preallocation = preallocation;
        clusterBits = template.clusterBits();
        clusterBytes = template.clusterBytes();
        long guestClusters = ceilDiv(template.sizeBytes(), clusterBytes);
        l1Entries = ceilDiv(template.sizeBytes(), template.l1EntryCoverageBytes());
        if (l1Entries > L1_MAX_BYTES / L1_ENTRY_BYTES) {
            throw new IOException(file.name() + ": a disk of " + template.sizeBytes()
                    + " bytes needs larger clusters than " + clusterBytes + " bytes");
        }
        l1Clusters = Math.max(1, ceilDiv(l1Entries * L1_ENTRY_BYTES, clusterBytes));
        boolean allocated = preallocation != Preallocation.OFF;
        l2Tables = allocated ? l1Entries : 0;
        dataClusters = allocated && dataFile == null ? guestClusters : 0;
        planRefcounts();
    }

    /**
     * Writes the image; nothing of it is stable yet.
     *
     * @param file new and empty
     * @param dataFile where the guest's data will be, new and empty, when the template names a data file; else null
     * @param template size, version, cluster size, refcount width, features, backing and data file of the image
     * @throws IOException it is too large for its clusters, or cannot be written: one line for the user
     */
    public static void create(
            OfflineFile file, @Nullable OfflineFile dataFile, Qcow2Header template, Preallocation preallocation)
            throws IOException {
        new Qcow2Creator(file, dataFile, template, preallocation).write();
    }

    private static long ceilDiv(long dividend, long divisor) {
        return -Math.floorDiv(-dividend, divisor);
    }

    /** Table and blocks count themselves: goes on until what is planned has room for itself. */
    private void planRefcounts() throws IOException {
        long planned;
        do {
            planned = tableClusters + blockClusters;
            blockClusters = ceilDiv(totalClusters(), 1L << template.refcountBlockBits());
            tableClusters = ceilDiv(blockClusters * REFCOUNT_TABLE_ENTRY_BYTES, clusterBytes);
        } while (tableClusters + blockClusters != planned);
        if (tableClusters << clusterBits > REFCOUNT_TABLE_MAX_BYTES) {
            throw new IOException(file.name() + ": a preallocated disk of " + template.sizeBytes()
                    + " bytes needs larger clusters than " + clusterBytes + " bytes");
        }
    }

    private long totalClusters() {
        return 1 + tableClusters + blockClusters + l1Clusters + l2Tables + dataClusters;
    }

    private long l1Offset() {
        return (1 + tableClusters + blockClusters) << clusterBits;
    }

    private long l2Offset(long table) {
        return l1Offset() + ((l1Clusters + table) << clusterBits);
    }

    private long dataOffset() {
        return l2Offset(l2Tables);
    }

    private void write() throws IOException {
        file.setSize(totalClusters() << clusterBits);
        writeRefcounts();
        if (l2Tables > 0) {
            writeL1();
            writeL2Tables();
        }
        allocateData();
        // The header last: what was interrupted is no image.
        file.write(header().encode(), 0);
    }

    private Qcow2Header header() {
        return template.with()
                .l1Table(l1Offset(), (int) l1Entries)
                .refcountTable(clusterBytes, (int) tableClusters)
                .build();
    }

    private void writeRefcounts() throws IOException {
        ByteBuffer table = ByteBuffer.allocate((int) (tableClusters << clusterBits));
        long buffer = NativeMemory.allocateZeroed(clusterBytes);
        try {
            long blockOffset = (1 + tableClusters) << clusterBits;
            for (int block = 0; block < blockClusters; block++) {
                long first = (long) block << template.refcountBlockBits();
                int used = (int) Math.min(1L << template.refcountBlockBits(), totalClusters() - first);
                NativeMemory.zero(buffer, clusterBytes);
                for (int i = 0; i < used; i++) {
                    RefcountEntries.set(buffer, template.refcountOrder(), i, 1);
                }
                long offset = blockOffset + ((long) block << clusterBits);
                file.write(buffer, offset, clusterBytes);
                table.putLong(offset);
            }
            file.write(table.array(), clusterBytes);
        } finally {
            NativeMemory.free(buffer);
        }
    }

    private void writeL1() throws IOException {
        ByteBuffer table = ByteBuffer.allocate((int) (l1Entries * L1_ENTRY_BYTES));
        for (long i = 0; i < l1Entries; i++) {
            table.putLong(l2Offset(i) | OFLAG_COPIED);
        }
        file.write(table.array(), l1Offset());
    }

    private void writeL2Tables() throws IOException {
        long guestClusters = ceilDiv(template.sizeBytes(), clusterBytes);
        long cluster = 0;
        byte[] table = new byte[clusterBytes];
        for (long i = 0; i < l2Tables; i++) {
            ByteBuffer entries = ByteBuffer.wrap(table);
            while (entries.hasRemaining()) {
                entries.putLong(cluster < guestClusters ? hostOffset(cluster) | OFLAG_COPIED : 0);
                if (template.hasSubclusters()) {
                    entries.putLong(
                            0); // There is room for the subclusters, but they are the backing file's, or zeroes.
                }
                cluster++;
            }
            file.write(table, l2Offset(i));
        }
    }

    /** In an external data file everything is where the guest has it. */
    private long hostOffset(long cluster) {
        return (dataFile == null ? dataOffset() : 0) + (cluster << clusterBits);
    }

    private void allocateData() throws IOException {
        OfflineFile target = dataFile == null ? file : dataFile;
        long offset = dataFile == null ? dataOffset() : 0;
        long length = dataFile == null ? dataClusters << clusterBits : template.sizeBytes();
        if (dataFile != null) {
            dataFile.setSize(template.sizeBytes());
        }
        if (length == 0) {
            return;
        }
        if (preallocation == Preallocation.FALLOC) {
            target.allocate(offset, length);
        } else if (preallocation == Preallocation.FULL) {
            writeZeroes(target, offset, length);
        }
    }

    /** Writes zeroes as data, so that space is there on every file system. */
    public static void writeZeroes(OfflineFile target, long offset, long length) throws IOException {
        long buffer = NativeMemory.allocateZeroed(ZEROES_BYTES);
        try {
            for (long done = 0; done < length; done += ZEROES_BYTES) {
                target.write(buffer, offset + done, (int) Math.min(ZEROES_BYTES, length - done));
            }
        } finally {
            NativeMemory.free(buffer);
        }
    }
}

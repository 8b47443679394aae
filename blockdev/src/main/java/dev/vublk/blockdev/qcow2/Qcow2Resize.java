// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static dev.vublk.blockdev.qcow2.Qcow2Layout.*;

import dev.vublk.blockdev.file.OfflineFile;
import java.io.IOException;
import java.nio.ByteBuffer;

/**
 * Changes the size of the disk in a qcow2 image that nobody uses. One write of the header's first sector is what does it; whatever
 * moment it is interrupted at, the disk has one of the two sizes, and at worst some space is lost, which a check gives back. One
 * thread.
 */
public final class Qcow2Resize {
    private final OfflineFile file;
    private final Qcow2Header header;
    private final long sizeBytes;
    private final int clusterBits;
    private final int clusterBytes;

    private Qcow2Resize(OfflineFile file, Qcow2Header header, long sizeBytes) {
        this.file = file;
        this.header = header;
        this.sizeBytes = sizeBytes;
        clusterBits = header.clusterBits();
        clusterBytes = header.clusterBytes();
    }

    /**
     * Makes the disk larger or smaller. What an external data file holds is the caller's affair.
     *
     * @param file open for writing, and locked
     * @param sizeBytes the new size, a multiple of 512
     * @throws IOException the image is damaged, or of a kind whose size cannot be changed: one line for the user
     */
    public static void run(OfflineFile file, long sizeBytes) throws IOException {
        Qcow2Header header = Qcow2Check.readHeader(file);
        Qcow2Resize resize = new Qcow2Resize(file, header, sizeBytes);
        ResizeRules.check(file.name(), header, sizeBytes);
        if (sizeBytes > header.sizeBytes()) {
            resize.checkState();
            resize.grow();
        } else if (sizeBytes < header.sizeBytes()) {
            resize.checkState();
            resize.shrink();
        }
    }

    private void checkState() throws IOException {
        if (header.isCorrupt() || header.isDirty()) {
            throw refused((header.isDirty() ? "was not closed cleanly" : "is marked corrupt")
                    + ": repair it first with vublk check --repair all");
        }
        if (!Qcow2Check.run(file, finding -> {}).isConsistent()) {
            throw refused("is damaged: see vublk check");
        }
    }

    private void grow() throws IOException {
        int needed = ResizeRules.l1Entries(file.name(), header, sizeBytes);
        int l1Size = header.l1Size();
        long room = Math.ceilDiv((long) l1Size * L1_ENTRY_BYTES, clusterBytes) * (long) clusterBytes / L1_ENTRY_BYTES;
        if (needed <= l1Size) {
            writeSize(l1Size);
        } else if (needed <= room) {
            file.write(
                    new byte[(needed - l1Size) * L1_ENTRY_BYTES],
                    header.l1TableOffset() + (long) l1Size * L1_ENTRY_BYTES);
            file.sync();
            writeSize(needed);
        } else {
            RefcountRebuild.runWithL1(file, header, needed, sizeBytes);
            Qcow2Repair.run(file, Qcow2Repair.Mode.LEAKS, finding -> {});
        }
    }

    private void shrink() throws IOException {
        long endCluster = Math.ceilDiv(sizeBytes, clusterBytes);
        checkEnd();
        // From now on nobody can reach what is behind the new end; an L1 table may be longer than it has to be.
        writeSize(header.l1Size());
        clearBehind(endCluster);
        clearTail();
        file.sync();
        Qcow2CheckResult result = Qcow2Repair.run(file, Qcow2Repair.Mode.LEAKS, finding -> {});
        if (result.isClean() && result.imageEndOffset() < file.sizeBytes()) {
            file.setSize(result.imageEndOffset());
            file.sync();
        }
    }

    /** Size and L1 size lie in one sector: both change, or none. */
    private void writeSize(int l1Size) throws IOException {
        byte[] fields = ByteBuffer.allocate(HEADER_L1_TABLE_OFFSET - HEADER_SIZE)
                .putLong(sizeBytes)
                .putInt(CRYPT_NONE)
                .putInt(l1Size)
                .array();
        file.write(fields, HEADER_SIZE);
        file.sync();
    }

    /** What a compressed cluster holds behind the new end could not be made zeroes, and would be seen again when it grows. */
    private void checkEnd() throws IOException {
        if (sizeBytes % clusterBytes != 0 && (lastEntry() & OFLAG_COMPRESSED) != 0) {
            throw refused("the new end lies inside a compressed cluster: choose a multiple of " + clusterBytes);
        }
    }

    /** The L2 entry of the cluster that the new end lies in; 0 when there is none. */
    private long lastEntry() throws IOException {
        long cluster = sizeBytes >> clusterBits;
        long l2Offset = l1Entry(cluster >> header.l2Bits()) & OFFSET_MASK;
        return l2Offset == 0 ? 0 : getLong(l2Offset + l2Index(cluster) * header.l2EntryBytes());
    }

    private long l2Index(long cluster) {
        return cluster & ((1L << header.l2Bits()) - 1);
    }

    private long l1Entry(long index) throws IOException {
        return getLong(header.l1TableOffset() + index * L1_ENTRY_BYTES);
    }

    private long getLong(long offset) throws IOException {
        return ByteBuffer.wrap(file.read(offset, Long.BYTES)).getLong();
    }

    /** Lets nothing refer to the clusters of the disk from {@code firstCluster} on. */
    private void clearBehind(long firstCluster) throws IOException {
        long table = firstCluster >> header.l2Bits();
        if (l2Index(firstCluster) != 0) {
            long l2Offset = l1Entry(table) & OFFSET_MASK;
            if (l2Offset != 0) {
                int at = (int) l2Index(firstCluster) * header.l2EntryBytes();
                file.write(new byte[clusterBytes - at], l2Offset + at);
            }
            table++;
        }
        int rest = (int) (header.l1Size() - table);
        if (rest > 0) {
            file.write(new byte[rest * L1_ENTRY_BYTES], header.l1TableOffset() + table * L1_ENTRY_BYTES);
        }
    }

    /** Makes zeroes of what the last cluster holds behind the new end, so that it is not seen again when the disk grows. */
    private void clearTail() throws IOException {
        long offset = sizeBytes % clusterBytes == 0 ? 0 : lastEntry() & OFFSET_MASK;
        int inCluster = (int) (sizeBytes & (clusterBytes - 1));
        if (offset != 0 && !header.hasDataFile()) {
            file.write(new byte[clusterBytes - inCluster], offset + inCluster);
        }
    }

    private IOException refused(String why) {
        return ResizeRules.refused(file.name(), why);
    }
}

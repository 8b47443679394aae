// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static dev.vublk.blockdev.qcow2.Qcow2Layout.*;

import dev.vublk.blockdev.file.OfflineFile;
import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.blockdev.qcow2.ReferenceCounts.Role;
import java.io.IOException;

/**
 * Goes from an image's header to everything that refers to a cluster, and counts each reference: L1 and L2 tables of the disk and
 * of its snapshots, the snapshot table, the refcount structures, bitmaps. On the way it says which entries make no sense, and which
 * flags contradict the stored refcounts. Every number that it reads is untrusted. Used by one thread.
 */
final class ReferenceWalk implements AutoCloseable {
    /** How much of an L1 or bitmap table is read at once. Arbitrary. */
    private static final int SLICE_BYTES = 1 << 20;

    private final OfflineFile file;
    private final Qcow2Header header;
    private final StoredRefcounts stored;
    private final ReferenceCounts counts;
    private final CheckFindings findings;
    private final long fileBytes;
    private final int clusterBits;
    private final int clusterBytes;
    private final int entryBytes;
    private final long refcountMax;
    private final WalkBounds bounds;
    private final long l2Buffer;

    ReferenceWalk(
            OfflineFile file,
            Qcow2Header header,
            StoredRefcounts stored,
            ReferenceCounts counts,
            CheckFindings findings)
            throws IOException {
        this.file = file;
        this.header = header;
        this.stored = stored;
        this.counts = counts;
        this.findings = findings;
        fileBytes = file.sizeBytes();
        clusterBits = header.clusterBits();
        clusterBytes = header.clusterBytes();
        entryBytes = header.l2EntryBytes();
        refcountMax = RefcountEntries.max(header.refcountOrder());
        bounds = new WalkBounds(file.name(), fileBytes, clusterBytes);
        l2Buffer = NativeMemory.allocateZeroed(clusterBytes);
    }

    /**
     * Counts all references.
     *
     * @throws IOException something without which the rest cannot be judged is unreadable
     */
    void run() throws IOException {
        runWithoutRefcounts();
        count(header.refcountTableOffset(), (long) header.refcountTableClusters() << clusterBits, Role.METADATA);
        walkRefcountBlocks();
    }

    /** Counts all references but those to the refcount table and its blocks, which are to be made anew. */
    void runWithoutRefcounts() throws IOException {
        count(0, clusterBytes, Role.METADATA);
        walkL1(header.l1TableOffset(), header.l1Size(), true);
        walkSnapshots();
        walkBitmaps();
    }

    /** Counts a reference to each cluster of a range; whether that was possible. */
    private boolean count(long offset, long lengthBytes, Role role) {
        if (lengthBytes <= 0) {
            return true;
        }
        // The last cluster may be there in part only. Nothing overflows: offsets have 56 bits, 62 when compressed.
        if (offset + lengthBytes - fileBytes >= clusterBytes) {
            findings.error("reference beyond the end of the file: offset 0x%x, %d bytes, the file has %d"
                    .formatted(offset, lengthBytes, fileBytes));
            return false;
        }
        boolean counted = true;
        long last = (offset + lengthBytes - 1) >> clusterBits;
        for (long cluster = offset >> clusterBits; cluster <= last; cluster++) {
            if (counts.count(cluster) >= refcountMax) {
                findings.error("cluster %d is referred to more often than a refcount can say".formatted(cluster));
                counted = false;
            } else {
                counts.add(cluster, role);
            }
        }
        return counted;
    }

    private void walkL1(long offset, int size, boolean active) throws IOException {
        count(offset, (long) size * L1_ENTRY_BYTES, Role.METADATA);
        int sliceEntries = SLICE_BYTES / L1_ENTRY_BYTES;
        int present = (int) (bounds.enterTable(offset, (long) size * L1_ENTRY_BYTES) / L1_ENTRY_BYTES);
        long buffer = NativeMemory.allocateZeroed(Math.clamp(present, 1, sliceEntries) * (long) L1_ENTRY_BYTES);
        try {
            for (int first = 0; first < present; first += sliceEntries) {
                int entries = Math.min(sliceEntries, present - first);
                file.read(buffer, offset + (long) first * L1_ENTRY_BYTES, entries * L1_ENTRY_BYTES);
                for (int i = 0; i < entries; i++) {
                    long entry = Long.reverseBytes(NativeMemory.getLong(buffer + (long) i * L1_ENTRY_BYTES));
                    if (entry != 0) {
                        walkL1Entry(first + i, entry, active);
                    }
                }
            }
        } finally {
            NativeMemory.free(buffer);
        }
    }

    private void walkL1Entry(int index, long entry, boolean active) throws IOException {
        if ((entry & L1_RESERVED) != 0) {
            findings.error("L1 entry %d has reserved bits set: %x".formatted(index, entry));
        }
        long l2Offset = entry & OFFSET_MASK;
        if (l2Offset == 0) {
            findings.error("L1 entry %d has flags but names no L2 table: %x".formatted(index, entry));
            return;
        }
        count(l2Offset, clusterBytes, Role.L2_TABLE);
        if ((l2Offset & clusterBytes - 1) != 0) {
            findings.error(
                    "L1 entry %d: the L2 table's offset 0x%x is not where a cluster begins".formatted(index, l2Offset));
        }
        if (active) {
            checkCopied("L2 table", entry, stored.refcount(l2Offset >> clusterBits));
        }
        if (bounds.enterL2Table(l2Offset)) {
            file.read(l2Buffer, l2Offset, clusterBytes);
            walkL2(active);
        }
    }

    private void walkL2(boolean active) throws IOException {
        boolean extended = header.hasSubclusters();
        long expectedOffset = 0;
        for (int at = 0; at < clusterBytes; at += entryBytes) {
            long entry = Long.reverseBytes(NativeMemory.getLong(l2Buffer + at));
            long bitmap = extended ? Long.reverseBytes(NativeMemory.getLong(l2Buffer + at + 8)) : 0;
            if (entry == 0 && bitmap == 0) {
                continue;
            }
            if ((entry & OFLAG_COMPRESSED) != 0) {
                walkCompressed(entry, bitmap, active);
                continue;
            }
            if ((entry & (extended ? L2_RESERVED | OFLAG_ZERO : L2_RESERVED)) != 0) {
                findings.error("L2 entry has reserved bits set: %x".formatted(entry));
            }
            long offset = entry & OFFSET_MASK;
            if (!isAllocated(entry, offset)) {
                if ((bitmap & SUBCLUSTERS_ALLOCATED) != 0) {
                    findings.error("L2 entry without a cluster has allocated subclusters: %x".formatted(bitmap));
                }
                continue;
            }
            walkAllocated(entry, bitmap, offset, active);
            if (active) {
                findings.allocatedClusters++;
                findings.fragmentedClusters += expectedOffset != 0 && offset != expectedOffset ? 1 : 0;
            }
            expectedOffset = offset + clusterBytes;
        }
    }

    /** Offset 0 is a cluster only in an external data file, where the flag tells it from none. */
    private boolean isAllocated(long entry, long offset) {
        boolean plainZero = (entry & OFLAG_ZERO) != 0 && !header.hasSubclusters();
        return offset != 0 || (header.hasDataFile() && (entry & OFLAG_COPIED) != 0 && !plainZero);
    }

    private void walkCompressed(long entry, long bitmap, boolean active) {
        if ((entry & OFLAG_COPIED) != 0) {
            findings.error("compressed cluster has the copied flag: %x".formatted(entry));
        }
        if (header.hasDataFile()) {
            findings.error("compressed cluster beside an external data file: %x".formatted(entry));
            return;
        }
        if (bitmap != 0) {
            findings.error("compressed cluster has subclusters: %x".formatted(bitmap));
            return;
        }
        count(compressedOffset(entry, clusterBits), compressedBytes(entry, clusterBits), Role.DATA);
        if (active) {
            findings.allocatedClusters++;
            findings.compressedClusters++;
            findings.fragmentedClusters++; // Each is read by itself, wherever it stands.
        }
    }

    private void walkAllocated(long entry, long bitmap, long offset, boolean active) throws IOException {
        if (((bitmap >>> 32) & bitmap & SUBCLUSTERS_ALLOCATED) != 0) {
            findings.error("offset 0x%x: subclusters are allocated and zero at once: %x".formatted(offset, bitmap));
        }
        if ((offset & (clusterBytes - 1)) != 0) {
            findings.error("offset 0x%x of a cluster is not where one begins".formatted(offset));
        }
        if (!header.hasDataFile()) {
            count(offset, clusterBytes, Role.DATA);
        }
        if (active) {
            checkCopied("cluster", entry, header.hasDataFile() ? 1 : stored.refcount(offset >> clusterBits));
        }
    }

    private void checkCopied(String what, long entry, long refcount) {
        if (refcount == StoredRefcounts.UNREADABLE) {
            return; // The comparison of refcounts says so.
        }
        if ((refcount == 1) != ((entry & OFLAG_COPIED) != 0)) {
            findings.wrongFlags++;
            findings.error("copied flag of a %s is wrong: entry %x, refcount %d".formatted(what, entry, refcount));
        }
    }

    private void walkSnapshots() throws IOException {
        if (header.snapshotCount() == 0) {
            return;
        }
        if (header.hasDataFile()) {
            findings.error("%d snapshots beside an external data file".formatted(header.snapshotCount()));
        }
        SnapshotTable table = SnapshotTable.read(file, header);
        for (int i = 0; i < table.entries().size(); i++) {
            SnapshotTable.Entry snapshot = table.entries().get(i);
            if (header.version() >= VERSION_3 && snapshot.extraDataBytes() < SNAPSHOT_EXTRA_MIN_BYTES) {
                findings.error("snapshot table entry %d is incomplete".formatted(i));
            }
        }
        for (SnapshotTable.Entry snapshot : table.entries()) {
            if ((snapshot.l1TableOffset() & clusterBytes - 1) != 0) {
                findings.error("snapshot %s: the L1 table's offset 0x%x is not where a cluster begins"
                        .formatted(snapshot.id(), snapshot.l1TableOffset()));
            } else if (snapshot.l1Size() < 0 || snapshot.l1Size() > L1_MAX_BYTES / L1_ENTRY_BYTES) {
                findings.error("snapshot %s: the L1 table is too large (%s entries)"
                        .formatted(snapshot.id(), Integer.toUnsignedString(snapshot.l1Size())));
            } else if (snapshot.l1TableOffset() < 0 || snapshot.l1TableOffset() > FILE_OFFSET_MAX) {
                findings.error("snapshot %s: the L1 table is beyond the end of the file".formatted(snapshot.id()));
            } else {
                walkL1(snapshot.l1TableOffset(), snapshot.l1Size(), false);
            }
        }
        count(header.snapshotsOffset(), table.lengthBytes(), Role.METADATA);
    }

    private void walkBitmaps() throws IOException {
        Qcow2BitmapsExtension bitmaps = header.bitmaps();
        if (bitmaps == null) {
            return;
        }
        count(bitmaps.directoryOffset(), bitmaps.directoryBytes(), Role.METADATA);
        for (BitmapDirectory.Entry bitmap : BitmapDirectory.read(file, header, bitmaps)) {
            walkBitmap(bitmap);
        }
    }

    private void walkBitmap(BitmapDirectory.Entry bitmap) throws IOException {
        long tableBytes = (long) bitmap.tableSize() * Long.BYTES;
        count(bitmap.tableOffset(), tableBytes, Role.METADATA);
        long presentBytes = bounds.enterTable(bitmap.tableOffset(), tableBytes);
        long buffer = NativeMemory.allocateZeroed(Math.clamp(presentBytes, Long.BYTES, SLICE_BYTES));
        try {
            for (long done = 0; done < presentBytes; done += SLICE_BYTES) {
                int length = (int) Math.min(SLICE_BYTES, presentBytes - done);
                file.read(buffer, bitmap.tableOffset() + done, length);
                for (int at = 0; at < length; at += Long.BYTES) {
                    walkBitmapEntry(bitmap, Long.reverseBytes(NativeMemory.getLong(buffer + at)));
                }
            }
        } finally {
            NativeMemory.free(buffer);
        }
    }

    private void walkBitmapEntry(BitmapDirectory.Entry bitmap, long entry) {
        long offset = entry & OFFSET_MASK;
        boolean allOnes = (entry & 1) != 0;
        if ((entry & ~(OFFSET_MASK | 1)) != 0 || (offset != 0 && (allOnes || (offset & (clusterBytes - 1)) != 0))) {
            findings.error("bitmap %s: bad entry %x in its table".formatted(bitmap.name(), entry));
        } else if (offset != 0) {
            count(offset, clusterBytes, Role.METADATA);
        }
    }

    /** Last, as everything that overlaps a block has been counted by then. */
    private void walkRefcountBlocks() {
        for (int block = 0; block < stored.tableSize(); block++) {
            long entry = stored.tableEntry(block);
            if (entry != 0) {
                walkRefcountBlock(block, entry, stored.blockOffset(block));
            }
        }
    }

    private void walkRefcountBlock(int block, long entry, long offset) {
        if (entry != offset) {
            findings.error("refcount table entry %d has reserved bits set: %x".formatted(block, entry));
        } else if ((offset & clusterBytes - 1) != 0) {
            findings.error("refcount block %d does not begin where a cluster begins: 0x%x".formatted(block, offset));
        } else if (offset < 0 || offset >= fileBytes) {
            findings.error("refcount block %d is outside of the file: 0x%x".formatted(block, offset));
        } else {
            long cluster = offset >> clusterBits;
            boolean counted = count(offset, clusterBytes, Role.METADATA);
            if (counted && counts.count(cluster) == 1) {
                return;
            }
            if (counted) {
                findings.error("refcount block %d is referred to %d times".formatted(block, counts.count(cluster)));
            }
        }
        stored.distrust(block);
        findings.mustRebuild = true;
    }

    @Override
    public void close() {
        NativeMemory.free(l2Buffer);
    }
}

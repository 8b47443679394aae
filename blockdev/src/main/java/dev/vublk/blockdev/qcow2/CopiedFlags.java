// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static dev.vublk.blockdev.qcow2.Qcow2Layout.*;

import dev.vublk.blockdev.file.OfflineFile;
import dev.vublk.blockdev.linux.NativeMemory;
import java.io.IOException;
import java.nio.ByteBuffer;

/**
 * Corrects the copied flags of the disk's own L1 and L2 entries: an entry has it when nothing else refers to what it names. A table
 * that may be something else as well is left alone. One thread.
 */
final class CopiedFlags {
    private final OfflineFile file;
    private final Qcow2Header header;
    private final ReferenceCounts counts;
    private final long fileBytes;

    CopiedFlags(OfflineFile file, Qcow2Header header, ReferenceCounts counts) throws IOException {
        this.file = file;
        this.header = header;
        this.counts = counts;
        fileBytes = file.sizeBytes();
    }

    /** Corrects all of them. Whether that is stable is the caller's affair. */
    void correct() throws IOException {
        long l2Buffer = NativeMemory.allocateZeroed(header.clusterBytes());
        try {
            ByteBuffer l1 = ByteBuffer.wrap(file.read(header.l1TableOffset(), header.l1Size() * L1_ENTRY_BYTES));
            boolean l1IsOurs = isOurs(header.l1TableOffset());
            for (int i = 0; i < header.l1Size(); i++) {
                long entry = l1.getLong(i * L1_ENTRY_BYTES);
                long l2Offset = entry & OFFSET_MASK;
                if (l2Offset == 0) {
                    continue;
                }
                if (isOurs(l2Offset)) {
                    correctL2(l2Offset, l2Buffer);
                }
                long right = right(entry, l2Offset);
                if (right != entry && l1IsOurs) {
                    byte[] bytes =
                            ByteBuffer.allocate(L1_ENTRY_BYTES).putLong(right).array();
                    file.write(bytes, header.l1TableOffset() + (long) i * L1_ENTRY_BYTES);
                }
            }
        } finally {
            NativeMemory.free(l2Buffer);
        }
    }

    /** Whether a table stands where one may, and the cluster is nothing else. */
    private boolean isOurs(long offset) {
        return (offset & header.clusterBytes() - 1) == 0
                && offset < fileBytes
                && !counts.isOverlap(offset >> header.clusterBits());
    }

    private void correctL2(long l2Offset, long buffer) throws IOException {
        file.read(buffer, l2Offset, header.clusterBytes());
        boolean changed = false;
        for (int at = 0; at < header.clusterBytes(); at += header.l2EntryBytes()) {
            long entry = Long.reverseBytes(NativeMemory.getLong(buffer + at));
            if ((entry & OFLAG_COMPRESSED) != 0 || (entry & OFFSET_MASK) == 0 || header.hasDataFile()) {
                continue;
            }
            long right = right(entry, entry & OFFSET_MASK);
            if (right != entry) {
                NativeMemory.putLong(buffer + at, Long.reverseBytes(right));
                changed = true;
            }
        }
        if (changed) {
            file.write(buffer, l2Offset, header.clusterBytes());
        }
    }

    private long right(long entry, long offset) {
        return counts.count(offset >> header.clusterBits()) == 1 ? entry | OFLAG_COPIED : entry & ~OFLAG_COPIED;
    }
}

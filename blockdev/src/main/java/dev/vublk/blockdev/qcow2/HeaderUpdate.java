// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import dev.vublk.blockdev.file.RangeLock;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.NativeMemory;
import java.util.function.LongConsumer;

/**
 * Changes fields of the header of an opened image, one change at a time, each as one stable write of the file's first sector,
 * which a disk writes as a whole. Thread-safe.
 */
final class HeaderUpdate {
    /** The smallest cluster, and a sector: every field lies in it. */
    private static final int SECTOR_BYTES = 512;

    private final RangeLock turn = new RangeLock();
    private final boolean hasFeatures;

    HeaderUpdate(Qcow2Header header) {
        this.hasFeatures = header.version() >= Qcow2Layout.VERSION_3;
    }

    /** The refcount table stands elsewhere. */
    int refcountTable(MetadataFile file, long offsetBytes, int clusterCount) {
        return change(file, sector -> {
            putLong(sector + Qcow2Layout.HEADER_REFCOUNT_TABLE_OFFSET, offsetBytes);
            putInt(sector + Qcow2Layout.HEADER_REFCOUNT_TABLE_CLUSTERS, clusterCount);
        });
    }

    /** The disk has another size, and its L1 table too, which may stand elsewhere. */
    int size(MetadataFile file, long sizeBytes, long l1TableOffset, int l1Size) {
        return change(file, sector -> {
            putLong(sector + Qcow2Layout.HEADER_SIZE, sizeBytes);
            putInt(sector + Qcow2Layout.HEADER_L1_SIZE, l1Size);
            putLong(sector + Qcow2Layout.HEADER_L1_TABLE_OFFSET, l1TableOffset);
        });
    }

    /** Sets and clears incompatible feature bits; a version 2 header has none, and nothing happens. */
    int incompatible(MetadataFile file, long setBits, long clearBits) {
        if (!hasFeatures) {
            return 0;
        }
        return change(file, sector -> {
            long address = sector + Qcow2Layout.HEADER_INCOMPATIBLE_FEATURES;
            putLong(address, (getLong(address) & ~clearBits) | setBits);
        });
    }

    /** Keeps of the autoclear feature bits only these. */
    int keepAutoclear(MetadataFile file, long keptBits) {
        if (!hasFeatures) {
            return 0;
        }
        return change(file, sector -> {
            long address = sector + Qcow2Layout.HEADER_AUTOCLEAR_FEATURES;
            putLong(address, getLong(address) & keptBits);
        });
    }

    private int change(MetadataFile file, LongConsumer change) {
        RangeLock.Range range = turn.acquire(file.queue(), 0, 1, true);
        try {
            long sector = NativeMemory.allocate(SECTOR_BYTES);
            if (sector == 0) {
                return -Errno.ENOMEM;
            }
            try {
                int result = file.read(0, sector, SECTOR_BYTES);
                if (result < 0) {
                    return result;
                }
                change.accept(sector);
                return file.write(0, sector, SECTOR_BYTES, true);
            } finally {
                NativeMemory.free(sector);
            }
        } finally {
            turn.release(range);
        }
    }

    private static long getLong(long address) {
        return Long.reverseBytes(NativeMemory.getLong(address));
    }

    private static void putLong(long address, long value) {
        NativeMemory.putLong(address, Long.reverseBytes(value));
    }

    private static void putInt(long address, int value) {
        NativeMemory.putInt(address, Integer.reverseBytes(value));
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static dev.vublk.blockdev.qcow2.Qcow2Layout.EXTENDED_L2_ENTRY_BYTES;

import org.jspecify.annotations.Nullable;

/** An L2 table that is being made: its entries, and how many clusters have been decided about. Used by one thread at a time. */
final class NewL2Table {
    final int index;
    private final int clusterBytes;
    private final int entryBytes;

    /** How many of its clusters have been decided about: data, zeroes or nothing. */
    private int decidedCount;

    /** The table as the file has it; null as long as it is empty. */
    private byte @Nullable [] bytes;

    /** Where it goes, once it is complete. */
    long fileOffset;

    NewL2Table(int index, int clusterBytes, int entryBytes) {
        this.index = index;
        this.clusterBytes = clusterBytes;
        this.entryBytes = entryBytes;
    }

    /** Sets an entry, with the bitmap of its subclusters where entries have one. */
    void set(int entry, long value, long bitmap) {
        byte[] table = bytes;
        if (table == null) {
            table = new byte[clusterBytes];
            bytes = table;
        }
        BigEndian.putLong(table, entry * entryBytes, value);
        if (entryBytes == EXTENDED_L2_ENTRY_BYTES) {
            BigEndian.putLong(table, entry * entryBytes + Long.BYTES, bitmap);
        }
    }

    /** More clusters have been decided about: whether that were all. */
    boolean decide(int count) {
        decidedCount += count;
        return decidedCount == clusterBytes / entryBytes;
    }

    /** The table as the file has it; null when no entry was set, and the image needs no such table. */
    byte @Nullable [] bytes() {
        return bytes;
    }
}

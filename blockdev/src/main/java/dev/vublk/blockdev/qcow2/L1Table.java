// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.Arrays;

/**
 * The active L1 table in memory, as it is in the file. Entries are read by every loop; they are set, and more of them are made, by
 * one at a time.
 */
final class L1Table {
    private static final VarHandle ENTRY = MethodHandles.arrayElementVarHandle(long[].class);

    private long fileOffset;
    private volatile long[] entries;

    /**
     * A table that was read from the file.
     *
     * @param fileOffset where it stands
     */
    L1Table(long fileOffset, long[] entries) {
        this.fileOffset = fileOffset;
        this.entries = entries.clone();
    }

    /** Where it stands in the file. For whoever may set entries. */
    long fileOffset() {
        return fileOffset;
    }

    int size() {
        return entries.length;
    }

    long get(int index) {
        return (long) ENTRY.getAcquire(entries, index);
    }

    /** The entry has been written; whoever sees it finds its table in the file. */
    void set(int index, long entry) {
        ENTRY.setRelease(entries, index, entry);
    }

    /** The table has become longer, its new entries being 0, and may stand elsewhere. */
    void grow(long newFileOffset, int newSize) {
        fileOffset = newFileOffset;
        entries = Arrays.copyOf(entries, newSize);
    }

    /** Where the L2 table of an entry stands; 0 when there is none. */
    long tableOffset(int index) {
        return get(index) & Qcow2Layout.OFFSET_MASK;
    }
}

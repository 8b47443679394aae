// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;

/** The active L1 table in memory, as it is in the file. Entries are read by every loop and set by one at a time. */
final class L1Table {
    private static final VarHandle ENTRY = MethodHandles.arrayElementVarHandle(long[].class);

    private final long fileOffset;
    private final long[] entries;

    /**
     * A table that was read from the file.
     *
     * @param fileOffset where it stands
     */
    L1Table(long fileOffset, long[] entries) {
        this.fileOffset = fileOffset;
        this.entries = entries.clone();
    }

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

    /** Where the L2 table of an entry stands; 0 when there is none. */
    long tableOffset(int index) {
        return get(index) & Qcow2Layout.OFFSET_MASK;
    }
}

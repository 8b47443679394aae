// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static dev.vublk.blockdev.qcow2.Qcow2Layout.REFCOUNT_TABLE_ENTRY_BYTES;
import static dev.vublk.blockdev.qcow2.Qcow2Layout.REFCOUNT_TABLE_OFFSET_MASK;

import dev.vublk.blockdev.file.OfflineFile;
import dev.vublk.blockdev.linux.NativeMemory;
import java.io.IOException;
import java.util.Arrays;
import java.util.BitSet;

/**
 * The refcounts that an image file has, for a check: the whole table, and some blocks of it, read when they are needed. Whatever
 * stands there is untrusted. Used by one thread.
 */
final class StoredRefcounts implements AutoCloseable {
    /** What cannot be read, or does not exist as the table says. */
    static final long UNREADABLE = Long.MIN_VALUE + 1;

    /** Memory for blocks: those of 16-bit refcounts of 64 KiB clusters reach 1 TiB. */
    private static final int CACHE_BYTES = 32 << 20;

    private static final long NO_BLOCK = -1;

    private final OfflineFile file;
    private final Qcow2Header header;
    private final int clusterBytes;
    private final int order;
    private final int blockBits;
    private final long[] table;
    private final BitSet distrusted = new BitSet();
    private final long[] slotBlock;
    private final long[] slotAddress;

    StoredRefcounts(OfflineFile file, Qcow2Header header) throws IOException {
        this.file = file;
        this.header = header;
        clusterBytes = header.clusterBytes();
        order = header.refcountOrder();
        blockBits = header.refcountBlockBits();
        table = readTable();
        int slotCount = Math.max(1, Math.min(Integer.highestOneBit(CACHE_BYTES / clusterBytes), 4096));
        slotBlock = new long[slotCount];
        slotAddress = new long[slotCount];
        Arrays.fill(slotBlock, NO_BLOCK);
    }

    private long[] readTable() throws IOException {
        int lengthBytes = header.refcountTableClusters() << header.clusterBits();
        long buffer = NativeMemory.allocateZeroed(Math.max(lengthBytes, 1));
        try {
            file.read(buffer, header.refcountTableOffset(), lengthBytes);
            long[] entries = new long[lengthBytes / REFCOUNT_TABLE_ENTRY_BYTES];
            for (int i = 0; i < entries.length; i++) {
                entries[i] = Long.reverseBytes(NativeMemory.getLong(buffer + (long) i * REFCOUNT_TABLE_ENTRY_BYTES));
            }
            return entries;
        } finally {
            NativeMemory.free(buffer);
        }
    }

    /** How many blocks the table can name. */
    int tableSize() {
        return table.length;
    }

    /** The table's entry as it stands there. */
    long tableEntry(int block) {
        return table[block];
    }

    /** Where a block stands; 0 when there is none. */
    long blockOffset(int block) {
        return table[block] & REFCOUNT_TABLE_OFFSET_MASK;
    }

    /** Notes that a block is not where one may be, or is something else as well. */
    void distrust(int block) {
        distrusted.set(block);
    }

    boolean isDistrusted(int block) {
        return distrusted.get(block);
    }

    /** A block's number is {@code cluster >> blockBits}. */
    int blockBits() {
        return blockBits;
    }

    /** The refcount of a cluster, 0 where there is no block, or {@link #UNREADABLE}. */
    long refcount(long cluster) throws IOException {
        long block = cluster >> blockBits;
        if (block >= table.length || blockOffset((int) block) == 0) {
            return 0;
        }
        long address = block((int) block);
        if (address == 0) {
            return UNREADABLE;
        }
        return RefcountEntries.get(address, order, (int) (cluster & ((1L << blockBits) - 1)));
    }

    /** The content of a block that the table names, until the next call; 0 when it is not where a cluster begins. */
    long block(int block) throws IOException {
        long offset = blockOffset(block);
        if (offset < 0 || (offset & clusterBytes - 1) != 0) {
            return 0;
        }
        int slot = block & slotBlock.length - 1;
        if (slotBlock[slot] != block) {
            if (slotAddress[slot] == 0) {
                slotAddress[slot] = NativeMemory.allocateZeroed(clusterBytes);
            }
            slotBlock[slot] = NO_BLOCK;
            file.read(slotAddress[slot], offset, clusterBytes);
            slotBlock[slot] = block;
        }
        return slotAddress[slot];
    }

    /** Writes a block back whose content was changed. */
    void writeBlock(int block) throws IOException {
        int slot = block & slotBlock.length - 1;
        if (slotBlock[slot] != block) {
            throw new IllegalStateException("refcount block " + block + " is not at hand");
        }
        file.write(slotAddress[slot], blockOffset(block), clusterBytes);
    }

    /** Gives the memory back; nothing else may be called then. */
    @Override
    public void close() {
        for (long address : slotAddress) {
            if (address != 0) {
                NativeMemory.free(address);
            }
        }
    }
}

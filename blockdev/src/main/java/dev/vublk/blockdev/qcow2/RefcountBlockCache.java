// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import dev.vublk.blockdev.linux.NativeMemory;
import java.util.Arrays;

/** Some refcount blocks in memory, as they are in the file. Used by one caller at a time. */
final class RefcountBlockCache implements AutoCloseable {
    /** Bounds the memory: 4 MiB, but four blocks at least. Arbitrary. */
    private static final int CACHE_BYTES = 4 << 20;

    private static final int NO_BLOCK = -1;

    private final int blockBytes;
    private final int[] blocks;
    private final long[] addresses;
    private final long[] lastUse;
    private long useCount;

    RefcountBlockCache(int blockBytes) {
        this.blockBytes = blockBytes;
        int count = Math.clamp(CACHE_BYTES / blockBytes, 4, 64);
        this.blocks = new int[count];
        this.addresses = new long[count];
        this.lastUse = new long[count];
        Arrays.fill(blocks, NO_BLOCK);
    }

    /** Where the block is in memory, or 0. */
    long find(int block) {
        for (int i = 0; i < blocks.length; i++) {
            if (blocks[i] == block) {
                lastUse[i] = ++useCount;
                return addresses[i];
            }
        }
        return 0;
    }

    /** Memory for another block, taken from the one that was not used for the longest time; 0 when there is none. */
    long replace() {
        int oldest = 0;
        for (int i = 1; i < blocks.length; i++) {
            if (lastUse[i] < lastUse[oldest]) {
                oldest = i;
            }
        }
        blocks[oldest] = NO_BLOCK;
        lastUse[oldest] = 0;
        if (addresses[oldest] == 0) {
            addresses[oldest] = NativeMemory.allocate(blockBytes);
        }
        return addresses[oldest];
    }

    /** What {@link #replace} gave holds this block from now on. */
    void keep(int block, long address) {
        for (int i = 0; i < blocks.length; i++) {
            if (addresses[i] == address) {
                blocks[i] = block;
                lastUse[i] = ++useCount;
            }
        }
    }

    /** Forgets every block: the file may have changed. */
    void clear() {
        Arrays.fill(blocks, NO_BLOCK);
        Arrays.fill(lastUse, 0);
    }

    @Override
    public void close() {
        clear();
        for (int i = 0; i < addresses.length; i++) {
            if (addresses[i] != 0) {
                NativeMemory.free(addresses[i]);
                addresses[i] = 0;
            }
        }
    }
}

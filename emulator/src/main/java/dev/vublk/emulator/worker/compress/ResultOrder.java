// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.worker.compress;

import org.jspecify.annotations.Nullable;

/**
 * Finished blocks that the submitter has not been given yet: by their sequence numbers, or as they came. Belongs to the
 * submitter.
 */
final class ResultOrder {
    private final boolean bySequence;
    private final @Nullable CodecBlock[] slots;
    private final int mask;
    private long next;
    private long end;

    /** @param blocksMax as many as there are; so no two that wait have the same place */
    ResultOrder(int blocksMax, boolean bySequence) {
        this.bySequence = bySequence;
        int size = blocksMax == 1 ? 1 : Integer.highestOneBit(blocksMax - 1) << 1;
        slots = new CodecBlock[size];
        mask = size - 1;
    }

    void add(CodecBlock block) {
        long place = bySequence ? block.sequence : end++;
        slots[(int) place & mask] = block;
    }

    /** The next one, or null when it has not come. */
    @Nullable
    CodecBlock poll() {
        int slot = (int) next & mask;
        CodecBlock block = slots[slot];
        if (block != null) {
            slots[slot] = null;
            next++;
        }
        return block;
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.zoned;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.linux.Iovec;
import dev.vublk.blockdev.linux.NativeMemory;

/** Compares what a disk holds with what is to be written there. Runs on the channel's loop; rare, so it makes its own buffer. */
final class StoredData {
    /** Compared at once; arbitrary. Twice as much holds both sides, and a page more the vector of the one buffer. */
    private static final int PIECE_BYTES = 64 << 10;

    private StoredData() {}

    /**
     * Whether the disk holds these bytes there; false when it cannot be read, or they cannot. They are copied before they are
     * compared: the virtual machine outlives a copy of memory whose file was truncated, but not a comparison.
     */
    static boolean equals(BlockChannel disk, long offsetBytes, long iovAddress, long lengthBytes) {
        long memory = NativeMemory.allocate(2L * PIECE_BYTES + NativeMemory.PAGE_BYTES);
        if (memory == 0) {
            return false;
        }
        try {
            return equals(disk, offsetBytes, iovAddress, lengthBytes, memory);
        } catch (InternalError pageGone) {
            return false;
        } finally {
            NativeMemory.free(memory);
        }
    }

    private static boolean equals(BlockChannel disk, long offsetBytes, long iovAddress, long lengthBytes, long memory) {
        long wanted = memory + PIECE_BYTES;
        long vector = wanted + PIECE_BYTES;
        long entry = iovAddress;
        long entryDone = 0;
        for (long done = 0; done < lengthBytes; done += PIECE_BYTES) {
            int piece = (int) Math.min(PIECE_BYTES, lengthBytes - done);
            Iovec.set(vector, memory, piece);
            if (disk.readv(offsetBytes + done, vector, 1, piece) != 0) {
                return false;
            }
            for (long copied = 0; copied < piece; ) {
                long step = Math.min(piece - copied, Iovec.length(entry) - entryDone);
                NativeMemory.copy(Iovec.base(entry) + entryDone, wanted + copied, step);
                copied += step;
                entryDone += step;
                if (entryDone == Iovec.length(entry)) {
                    entry += Iovec.SIZE_BYTES;
                    entryDone = 0;
                }
            }
            NativeMemory.awaitFault();
            if (!NativeMemory.equals(memory, wanted, piece)) {
                return false;
            }
        }
        return true;
    }
}

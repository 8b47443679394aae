// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.zoned;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.linux.Iovec;
import dev.vublk.blockdev.linux.NativeMemory;

/** Compares what a disk holds with what is to be written there. Runs on the channel's loop; rare, so it makes its own buffer. */
final class StoredData {
    /** Compared at once; arbitrary. A page more has the vector of the one buffer. */
    private static final int PIECE_BYTES = 64 << 10;

    private StoredData() {}

    /** Whether the disk holds these bytes there; false when it cannot be read, too. */
    static boolean equals(BlockChannel disk, long offsetBytes, long iovAddress, long lengthBytes) {
        long memory = NativeMemory.allocate(PIECE_BYTES + NativeMemory.PAGE_BYTES);
        if (memory == 0) {
            return false;
        }
        try {
            return equals(disk, offsetBytes, iovAddress, lengthBytes, memory);
        } finally {
            NativeMemory.free(memory);
        }
    }

    private static boolean equals(BlockChannel disk, long offsetBytes, long iovAddress, long lengthBytes, long memory) {
        long vector = memory + PIECE_BYTES;
        long entry = iovAddress;
        long entryDone = 0;
        for (long done = 0; done < lengthBytes; done += PIECE_BYTES) {
            int piece = (int) Math.min(PIECE_BYTES, lengthBytes - done);
            Iovec.set(vector, memory, piece);
            if (disk.readv(offsetBytes + done, vector, 1, piece) != 0) {
                return false;
            }
            for (long compared = 0; compared < piece; ) {
                long step = Math.min(piece - compared, Iovec.length(entry) - entryDone);
                if (!NativeMemory.equals(memory + compared, Iovec.base(entry) + entryDone, step)) {
                    return false;
                }
                compared += step;
                entryDone += step;
                if (entryDone == Iovec.length(entry)) {
                    entry += Iovec.SIZE_BYTES;
                    entryDone = 0;
                }
            }
        }
        return true;
    }
}

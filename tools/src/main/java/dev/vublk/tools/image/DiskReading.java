// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.Iovec;
import dev.vublk.blockdev.linux.NativeMemory;
import java.io.IOException;

/** Reads of one channel into plain memory, whole or with zeroes in the place of what is broken. Belongs to one thread. */
final class DiskReading implements AutoCloseable {
    private static final int SECTOR_BYTES = 512;

    /** What cannot be read at once is tried again in pieces of this size, and those in sectors. A page: what disks and caches fail by. */
    private static final int PIECE_BYTES = 4096;

    private final BlockChannel channel;
    private final String name;
    private final BrokenSectors broken;
    private final long iovec = NativeMemory.allocateZeroed(Iovec.SIZE_BYTES);

    DiskReading(BlockChannel channel, String name, BrokenSectors broken) {
        this.channel = channel;
        this.name = name;
        this.broken = broken;
    }

    /** Fills memory; offset and length are multiples of 512. */
    void read(long offsetBytes, long address, int lengthBytes) throws IOException {
        int result = tryRead(offsetBytes, address, lengthBytes);
        if (result >= 0) {
            return;
        }
        if (!broken.areSkipped()) {
            String where = FailingFile.describe(channel, name, offsetBytes, iovec, address, lengthBytes);
            throw new IOException(
                    name + ": cannot be read at offset " + offsetBytes + where + ": " + Errno.describe(result));
        }
        salvage(offsetBytes, address, lengthBytes, PIECE_BYTES);
    }

    private void salvage(long offsetBytes, long address, int lengthBytes, int pieceBytes) {
        for (int done = 0; done < lengthBytes; done += pieceBytes) {
            int piece = Math.min(pieceBytes, lengthBytes - done);
            if (tryRead(offsetBytes + done, address + done, piece) >= 0) {
                continue;
            }
            if (piece > SECTOR_BYTES) {
                salvage(offsetBytes + done, address + done, piece, SECTOR_BYTES);
            } else {
                NativeMemory.zero(address + done, piece);
                broken.add(offsetBytes + done, piece);
            }
        }
    }

    private int tryRead(long offsetBytes, long address, int lengthBytes) {
        Iovec.set(iovec, address, lengthBytes);
        return channel.readv(offsetBytes, iovec, 1, lengthBytes);
    }

    @Override
    public void close() {
        NativeMemory.free(iovec);
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import dev.vublk.blockdev.linux.Iovec;
import dev.vublk.blockdev.linux.NativeMemory;

/** Page-aligned memory through which a request goes whose own buffers O_DIRECT would refuse. Runs on its loop. */
final class BounceBuffer {
    /** Large requests go in pieces of this. A multiple of every O_DIRECT alignment; otherwise arbitrary. */
    static final int SIZE_BYTES = 1 << 20;

    /** What a buffer takes: a page more, for a vector of one. */
    static final int ALLOCATED_BYTES = SIZE_BYTES + NativeMemory.PAGE_BYTES;

    final long address;

    /** Where the request is in its own buffers. */
    final IovCursor cursor = new IovCursor();

    BounceBuffer(long address) {
        this.address = address;
    }

    /** Sets the cursor on a request that is one buffer. */
    void resetCursor(long requestAddress, long lengthBytes) {
        long iov = address + SIZE_BYTES;
        Iovec.set(iov, requestAddress, lengthBytes);
        cursor.reset(iov);
    }

    void free() {
        NativeMemory.free(address);
    }
}

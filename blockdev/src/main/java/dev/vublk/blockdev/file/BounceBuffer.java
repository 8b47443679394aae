// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import dev.vublk.blockdev.linux.NativeMemory;

/** Page-aligned memory through which a request goes whose own buffers O_DIRECT would refuse. Runs on its loop. */
final class BounceBuffer {
    /** Large requests go in pieces of this. A multiple of every O_DIRECT alignment; otherwise arbitrary. */
    static final int SIZE_BYTES = 1 << 20;

    final long address;

    /** Where the request is in its own buffers. */
    final IovCursor cursor = new IovCursor();

    BounceBuffer(long address) {
        this.address = address;
    }

    void free() {
        NativeMemory.free(address);
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator;

import dev.vublk.vhostuser.memory.HostMemory;

/** What a disk of a test moves between its content and the vector of a call. Any thread. */
final class VectorCopy {
    private static final long IOVEC_BYTES = 16;

    private VectorCopy() {}

    /** Writes the vector's bytes into {@code content} from {@code offset} on, or reads them from there. */
    static void move(boolean write, byte[] content, int offset, long iovAddress, int iovCount) {
        int at = offset;
        for (int i = 0; i < iovCount; i++) {
            long base = HostMemory.getLong(iovAddress + IOVEC_BYTES * i);
            int length = (int) HostMemory.getLong(iovAddress + IOVEC_BYTES * i + Long.BYTES);
            if (write) {
                HostMemory.copyOut(base, content, at, length);
            } else {
                HostMemory.copyIn(content, at, base, length);
            }
            at += length;
        }
    }
}

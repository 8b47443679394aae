// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import dev.vublk.blockdev.linux.NativeMemory;

/** Native memory that its owner uses again and again, and that grows, losing its content, when more is needed. One thread at a time. */
final class GrowingMemory implements AutoCloseable {
    private long address;
    private long capacityBytes;

    /** Memory of at least so many bytes, of unspecified content; 0 when there is none. */
    long reserve(long lengthBytes) {
        if (capacityBytes < lengthBytes) {
            NativeMemory.free(address);
            address = NativeMemory.allocate(lengthBytes);
            capacityBytes = address == 0 ? 0 : lengthBytes;
        }
        return address;
    }

    /** Where the memory is that was reserved last. */
    long address() {
        return address;
    }

    @Override
    public void close() {
        NativeMemory.free(address);
        address = 0;
        capacityBytes = 0;
    }
}

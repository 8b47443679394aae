// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.protocol;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** Byte buffers of the protocol's byte order: that of the machine, since both ends run on the same one. */
public final class Wire {
    private Wire() {}

    public static ByteBuffer allocate(int sizeBytes) {
        return ByteBuffer.allocate(sizeBytes).order(ByteOrder.nativeOrder());
    }

    public static ByteBuffer wrap(byte[] bytes) {
        return ByteBuffer.wrap(bytes).order(ByteOrder.nativeOrder());
    }

    /** A payload of one 64-bit value: features, an acknowledgement, a count. */
    public static ByteBuffer u64(long value) {
        return allocate(Long.BYTES).putLong(value).flip();
    }

    public static ByteBuffer empty() {
        return allocate(0);
    }
}

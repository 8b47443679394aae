// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.protocol;

import java.nio.ByteBuffer;

/**
 * The payload of SET_VRING_KICK, CALL and ERR: bits 0-7 the ring's index, bit 8 that no descriptor comes with it.
 *
 * @param index which ring, 0 to 255; unchecked otherwise
 * @param hasFd whether a descriptor comes along; without one the ring is polled, or not signalled
 */
public record VringFd(int index, boolean hasFd) {
    public static final int SIZE_BYTES = 8;

    private static final long INDEX_MASK = 0xff;
    private static final long NOFD_MASK = 1 << 8;

    public static VringFd decode(ByteBuffer buffer) {
        long value = buffer.getLong();
        return new VringFd((int) (value & INDEX_MASK), (value & NOFD_MASK) == 0);
    }

    public ByteBuffer encode() {
        return Wire.u64((index & INDEX_MASK) | (hasFd ? 0 : NOFD_MASK));
    }
}

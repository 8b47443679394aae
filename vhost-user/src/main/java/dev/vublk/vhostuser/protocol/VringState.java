// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.protocol;

import java.nio.ByteBuffer;

/**
 * A ring's index and one number about it: its size, its base, or whether it is enabled.
 *
 * @param index which ring; unchecked
 * @param num the number; unchecked
 */
public record VringState(int index, int num) {
    public static final int SIZE_BYTES = 8;

    public static VringState decode(ByteBuffer buffer) {
        return new VringState(buffer.getInt(), buffer.getInt());
    }

    public ByteBuffer encode() {
        return Wire.allocate(SIZE_BYTES).putInt(index).putInt(num).flip();
    }
}

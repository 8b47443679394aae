// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.protocol;

import java.nio.ByteBuffer;

/**
 * The payload of SET_DEVICE_STATE_FD (vhost-user, "Device state transfer parameters").
 *
 * @param direction 0: the back end saves its state into the descriptor, 1: it loads it from there; unchecked
 * @param phase 0: the device is suspended, all of its rings are stopped; the only one there is; unchecked
 */
public record DeviceStateTransfer(int direction, int phase) {
    public static final int SIZE_BYTES = 8;

    public static final int SAVE = 0;
    public static final int LOAD = 1;
    public static final int STOPPED = 0;

    public static DeviceStateTransfer decode(ByteBuffer buffer) {
        return new DeviceStateTransfer(buffer.getInt(), buffer.getInt());
    }

    public ByteBuffer encode() {
        return Wire.allocate(SIZE_BYTES).putInt(direction).putInt(phase).flip();
    }
}

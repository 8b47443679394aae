// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

import dev.vublk.vhostuser.protocol.VhostUserProtocolException;

/** The device status field (virtio 1.2 section 2.1) as SET_STATUS and GET_STATUS see it. Control loop. */
final class DeviceStatus {
    static final int RESET = 0;
    static final int ACKNOWLEDGE = 1;
    static final int DRIVER = 2;
    static final int DRIVER_OK = 4;
    static final int FEATURES_OK = 8;
    static final int DEVICE_NEEDS_RESET = 64;
    static final int FAILED = 128;

    private static final int STATUS_MASK = 0xff;

    private int status;
    private boolean featuresRefused;
    private boolean needsReset;

    /** The driver sets its status. Returns whether that is a reset. */
    boolean set(long value) throws VhostUserProtocolException {
        if ((value & ~STATUS_MASK) != 0) {
            throw new VhostUserProtocolException(
                    "device status 0x" + Long.toHexString(value) + " has more than 8 bits");
        }
        status = (int) value;
        if (status == RESET) {
            featuresRefused = false;
            needsReset = false;
            return true;
        }
        if (featuresRefused) {
            // Section 2.1.2: the device refuses a set of features by not keeping the bit, which the driver looks for.
            status &= ~FEATURES_OK;
        }
        return false;
    }

    /** What the driver reads back. */
    int get() {
        return needsReset ? status | DEVICE_NEEDS_RESET : status;
    }

    /** The last SET_FEATURES was taken, or not. */
    void featuresTaken(boolean taken) {
        featuresRefused = !taken;
    }

    /** Something broke that only a reset mends. Returns whether the driver is to be told (section 2.1.2: if DRIVER_OK is set). */
    boolean breaks() {
        needsReset = true;
        return (status & DRIVER_OK) != 0;
    }
}

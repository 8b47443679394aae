// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator;

import dev.vublk.vhostuser.virtqueue.VirtioFeature;

/** The kinds of ring that a guest may choose. */
public enum RingKind {
    SPLIT(VirtioFeature.VIRTIO_F_RING_PACKED),
    PACKED(0);

    /** What a guest that wants such rings does not take. */
    public final long unwantedFeatures;

    RingKind(long unwantedFeatures) {
        this.unwantedFeatures = unwantedFeatures;
    }
}

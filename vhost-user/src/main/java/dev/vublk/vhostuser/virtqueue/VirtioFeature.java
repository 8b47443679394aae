// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.virtqueue;

/** Feature bits of rings and transport (virtio 1.2 section 6, vhost-user "Feature bits"), as masks. */
public final class VirtioFeature {
    /** Device may interrupt when the ring runs empty although told not to (legacy; not offered). */
    public static final long VIRTIO_F_NOTIFY_ON_EMPTY = 1L << 24;

    /** Legacy name of free framing; implied by {@link #VIRTIO_F_VERSION_1}. */
    public static final long VIRTIO_F_ANY_LAYOUT = 1L << 27;

    /** Every write to guest memory is logged (vhost; see the dirty log). */
    public static final long VHOST_F_LOG_ALL = 1L << 26;

    public static final long VIRTIO_F_INDIRECT_DESC = 1L << 28;
    public static final long VIRTIO_F_EVENT_IDX = 1L << 29;
    public static final long VHOST_USER_F_PROTOCOL_FEATURES = 1L << 30;
    public static final long VIRTIO_F_VERSION_1 = 1L << 32;
    public static final long VIRTIO_F_ACCESS_PLATFORM = 1L << 33;
    public static final long VIRTIO_F_RING_PACKED = 1L << 34;
    public static final long VIRTIO_F_IN_ORDER = 1L << 35;
    public static final long VIRTIO_F_ORDER_PLATFORM = 1L << 36;
    public static final long VIRTIO_F_NOTIFICATION_DATA = 1L << 38;
    public static final long VIRTIO_F_RING_RESET = 1L << 40;

    private VirtioFeature() {}
}

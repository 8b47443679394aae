// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

/** What a session can offer beyond what every front end is offered. */
public enum OptionalFeature {
    /** VIRTIO_F_IN_ORDER: requests are returned in the order in which they came, so a fast one waits for slow ones. */
    IN_ORDER,

    /** VIRTIO_F_ORDER_PLATFORM: the driver uses the barriers of a real device, which cost more and gain nothing here. */
    ORDER_PLATFORM,

    /**
     * VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS: kicks and calls as messages, for simulations; QEMU takes the bit without
     * knowing the messages.
     */
    IN_BAND_NOTIFICATIONS,

    /** VIRTIO_F_ACCESS_PLATFORM: the guest's IOMMU stands between it and the device. Linux UML takes the bit without having one. */
    ACCESS_PLATFORM,

    /**
     * VHOST_USER_PROTOCOL_F_GPA_ADDRESSES: the front end gives guest-physical addresses where others give user ones. Some front
     * ends mean another feature by this bit.
     */
    GPA_ADDRESSES,

    /**
     * VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT: a ring that is stopped leaves requests that it has not begun in the in-flight
     * region. A front end that takes the bit has to carry that region to whoever serves the ring next.
     */
    GET_VRING_BASE_INFLIGHT,

    /**
     * VHOST_USER_PROTOCOL_F_PAGEFAULT: a live migration may go on while the guest runs here already. Offered where the kernel lets
     * this process use userfaultfd(2), and not together with {@link #ACCESS_PLATFORM}.
     */
    POSTCOPY
}

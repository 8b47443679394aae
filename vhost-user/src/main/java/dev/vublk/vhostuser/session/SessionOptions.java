// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

/**
 * What a user chooses of the features that cost something, or mean something to few: not offered unless asked for, because
 * there are front ends that take whatever is offered.
 *
 * @param inOrder VIRTIO_F_IN_ORDER: requests are returned in the order in which they came, so a fast one waits for slow ones
 * @param orderPlatform VIRTIO_F_ORDER_PLATFORM: the driver uses the barriers of a real device, which cost more and gain nothing
 *     here
 * @param inBandNotifications VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS: kicks and calls as messages, for simulations; QEMU takes
 *     the bit without knowing the messages
 * @param accessPlatform VIRTIO_F_ACCESS_PLATFORM: the guest's IOMMU stands between it and the device. Linux UML takes the bit
 *     without having an IOMMU
 */
public record SessionOptions(
        boolean inOrder, boolean orderPlatform, boolean inBandNotifications, boolean accessPlatform) {
    /** Nothing out of the ordinary. */
    public static final SessionOptions DEFAULT = new SessionOptions(false, false, false, false);
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.protocol;

/** Protocol features (vhost-user, "Protocol features"): what the two ends agree upon besides the device's features. */
public enum ProtocolFeature {
    MQ(0),
    LOG_SHMFD(1),
    RARP(2),
    REPLY_ACK(3),
    NET_MTU(4),
    BACKEND_REQ(5),
    CROSS_ENDIAN(6),
    CRYPTO_SESSION(7),
    PAGEFAULT(8),
    CONFIG(9),
    BACKEND_SEND_FD(10),
    HOST_NOTIFIER(11),
    INFLIGHT_SHMFD(12),
    RESET_DEVICE(13),
    INBAND_NOTIFICATIONS(14),
    CONFIGURE_MEM_SLOTS(15),
    STATUS(16),
    XEN_MMAP(17),
    SHARED_OBJECT(18),
    DEVICE_STATE(19),
    GET_VRING_BASE_INFLIGHT(20),
    GPA_ADDRESSES(21),
    SHMEM_MAP(22);

    private final long mask;

    ProtocolFeature(int bit) {
        this.mask = 1L << bit;
    }

    public long mask() {
        return mask;
    }

    public boolean isIn(long features) {
        return (features & mask) != 0;
    }
}

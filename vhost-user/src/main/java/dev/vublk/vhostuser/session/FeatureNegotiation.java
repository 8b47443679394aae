// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

import dev.vublk.vhostuser.protocol.ProtocolFeature;
import dev.vublk.vhostuser.protocol.VhostUserProtocolException;
import dev.vublk.vhostuser.virtqueue.VirtioFeature;
import org.jspecify.annotations.Nullable;

/** What is offered to one front end, and what it acknowledged. Control loop. */
final class FeatureNegotiation {
    /** Bits 0 to 23 and 50 to 63 belong to the device (virtio 1.2, 2.2 "Feature Bits"); the others are ours. */
    private static final long DEVICE_FEATURES = 0xffffffL | -1L << 50;

    private static final long RING_AND_TRANSPORT_FEATURES = VirtioFeature.VHOST_F_LOG_ALL
            | VirtioFeature.VIRTIO_F_INDIRECT_DESC
            | VirtioFeature.VIRTIO_F_EVENT_IDX
            | VirtioFeature.VHOST_USER_F_PROTOCOL_FEATURES
            | VirtioFeature.VIRTIO_F_VERSION_1
            // An eventfd carries no data, and a device that looks at its ring needs none.
            | VirtioFeature.VIRTIO_F_NOTIFICATION_DATA
            // Each ring stops and starts by itself; how the driver asks for it is the front end's.
            | VirtioFeature.VIRTIO_F_RING_RESET;

    private static final long PROTOCOL_FEATURES = ProtocolFeature.MQ.mask()
            | ProtocolFeature.LOG_SHMFD.mask()
            | ProtocolFeature.REPLY_ACK.mask()
            | ProtocolFeature.BACKEND_REQ.mask()
            | ProtocolFeature.CONFIG.mask()
            | ProtocolFeature.INFLIGHT_SHMFD.mask()
            | ProtocolFeature.RESET_DEVICE.mask()
            | ProtocolFeature.CONFIGURE_MEM_SLOTS.mask()
            | ProtocolFeature.STATUS.mask()
            | ProtocolFeature.DEVICE_STATE.mask();

    private final long offered;
    private final long protocolOffered;
    private long acked;
    private boolean areAcked;
    private boolean logsAll;
    private long protocolAcked;

    FeatureNegotiation(long deviceFeatures, boolean packedRings, SessionOptions options) {
        this.offered = (deviceFeatures & DEVICE_FEATURES)
                | RING_AND_TRANSPORT_FEATURES
                | (packedRings ? VirtioFeature.VIRTIO_F_RING_PACKED : 0)
                | (options.has(OptionalFeature.IN_ORDER) ? VirtioFeature.VIRTIO_F_IN_ORDER : 0)
                | (options.has(OptionalFeature.ACCESS_PLATFORM) ? VirtioFeature.VIRTIO_F_ACCESS_PLATFORM : 0)
                | (options.has(OptionalFeature.ORDER_PLATFORM) ? VirtioFeature.VIRTIO_F_ORDER_PLATFORM : 0);
        // Two kinds of pages that have to be asked for are one too many.
        boolean postcopy = options.has(OptionalFeature.POSTCOPY) && !offersTranslation();
        this.protocolOffered = PROTOCOL_FEATURES
                | (options.has(OptionalFeature.IN_BAND_NOTIFICATIONS) ? ProtocolFeature.INBAND_NOTIFICATIONS.mask() : 0)
                | (options.has(OptionalFeature.GPA_ADDRESSES) ? ProtocolFeature.GPA_ADDRESSES.mask() : 0)
                | (options.has(OptionalFeature.GET_VRING_BASE_INFLIGHT)
                        ? ProtocolFeature.GET_VRING_BASE_INFLIGHT.mask()
                        : 0)
                | (postcopy ? ProtocolFeature.PAGEFAULT.mask() : 0);
    }

    long offered() {
        return offered;
    }

    /**
     * Takes the front end's choice. Returns whether it differs from the one before, but for LOG_ALL: that one is no
     * agreement of driver and device, and comes and goes while rings run.
     */
    boolean acknowledge(long features) throws VhostUserProtocolException {
        checkOffered("features", features, offered);
        logsAll = (features & VirtioFeature.VHOST_F_LOG_ALL) != 0;
        long agreed = features & ~VirtioFeature.VHOST_F_LOG_ALL;
        boolean changed = !areAcked || agreed != acked;
        acked = agreed;
        areAcked = true;
        return changed;
    }

    /** Whether the front end has chosen at all. */
    boolean areAcked() {
        return areAcked;
    }

    /** Without LOG_ALL. */
    long acked() {
        return acked;
    }

    /** Which kind of ring the front end has chosen. */
    RingFormat ringFormat() {
        return areAcked ? RingFormat.of(acked) : RingFormat.UNDECIDED;
    }

    final boolean offersTranslation() {
        return (offered & VirtioFeature.VIRTIO_F_ACCESS_PLATFORM) != 0;
    }

    /** Whether addresses of rings and in descriptors are those of the guest's IOMMU. */
    boolean translates() {
        return (acked & VirtioFeature.VIRTIO_F_ACCESS_PLATFORM) != 0;
    }

    /** Whether the front end wants every write logged. */
    boolean logsAll() {
        return logsAll;
    }

    /** Forgets what was acknowledged, as a reset does; what the two ends agreed upon about the protocol stays. */
    void reset() {
        acked = 0;
        logsAll = false;
        areAcked = false;
    }

    /** Without protocol features there is no SET_VRING_ENABLE: rings are enabled by SET_FEATURES ("Ring states"). */
    boolean enableRings() {
        return areAcked && (acked & VirtioFeature.VHOST_USER_F_PROTOCOL_FEATURES) == 0;
    }

    long protocolOffered() {
        return protocolOffered;
    }

    void acknowledgeProtocol(long features) throws VhostUserProtocolException {
        checkOffered("protocol features", features, protocolOffered);
        protocolAcked = features;
    }

    /** Whether a message that needs this feature (or none) may be sent. */
    boolean allows(@Nullable ProtocolFeature feature) {
        return feature == null || feature.isIn(protocolAcked);
    }

    private static void checkOffered(String what, long features, long offered) throws VhostUserProtocolException {
        if ((features & ~offered) != 0) {
            throw new VhostUserProtocolException(
                    what + " 0x" + Long.toHexString(features & ~offered) + " acknowledged but never offered");
        }
    }
}

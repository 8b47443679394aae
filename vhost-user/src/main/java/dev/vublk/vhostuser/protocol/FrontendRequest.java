// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.protocol;

import static dev.vublk.vhostuser.protocol.ReplyRule.ACK;
import static dev.vublk.vhostuser.protocol.ReplyRule.CONFIG;
import static dev.vublk.vhostuser.protocol.ReplyRule.OWN;
import static dev.vublk.vhostuser.protocol.ReplyRule.U64;

import org.jspecify.annotations.Nullable;

/**
 * Messages from the front end (vhost-user, "Front-end message types"): the payload sizes and descriptor counts that each
 * allows, when it is answered, and the protocol feature without which it may not be sent.
 */
public enum FrontendRequest {
    // id, payload bytes at least and at most, descriptors at least and at most, reply, needs
    GET_FEATURES(1, 0, 0, 0, 0, U64, null),
    SET_FEATURES(2, 8, 8, 0, 0, ACK, null),
    SET_OWNER(3, 0, 0, 0, 0, ACK, null),
    RESET_OWNER(4, 0, 0, 0, 0, ACK, null),
    // The Linux UML front end sends room for two regions even when only one is used: the count decides, not the size.
    SET_MEM_TABLE(5, 8, MemoryTable.SIZE_BYTES_MAX, 0, MemoryTable.REGIONS_MAX, ACK, null),
    SET_LOG_BASE(6, 16, 16, 1, 1, OWN, ProtocolFeature.LOG_SHMFD),
    SET_LOG_FD(7, 0, 0, 1, 1, ACK, ProtocolFeature.LOG_SHMFD),
    SET_VRING_NUM(8, 8, 8, 0, 0, ACK, null),
    SET_VRING_ADDR(9, 40, 40, 0, 0, ACK, null),
    SET_VRING_BASE(10, 8, 8, 0, 0, ACK, null),
    GET_VRING_BASE(11, 8, 8, 0, 0, OWN, null),
    SET_VRING_KICK(12, 8, 8, 0, 1, ACK, null),
    SET_VRING_CALL(13, 8, 8, 0, 1, ACK, null),
    SET_VRING_ERR(14, 8, 8, 0, 1, ACK, null),
    GET_PROTOCOL_FEATURES(15, 0, 0, 0, 0, U64, null),
    SET_PROTOCOL_FEATURES(16, 8, 8, 0, 0, ACK, null),
    GET_QUEUE_NUM(17, 0, 0, 0, 0, U64, ProtocolFeature.MQ),
    SET_VRING_ENABLE(18, 8, 8, 0, 0, ACK, null),
    SEND_RARP(19, 8, 8, 0, 0, ACK, ProtocolFeature.RARP),
    NET_SET_MTU(20, 8, 8, 0, 0, ACK, ProtocolFeature.NET_MTU),
    SET_BACKEND_REQ_FD(21, 0, 0, 1, 1, ACK, ProtocolFeature.BACKEND_REQ),
    IOTLB_MSG(22, 26, 32, 0, 0, U64, null),
    SET_VRING_ENDIAN(23, 8, 8, 0, 0, ACK, ProtocolFeature.CROSS_ENDIAN),
    GET_CONFIG(24, 12, ConfigSpaceAccess.PAYLOAD_SIZE_BYTES_MAX, 0, 0, CONFIG, ProtocolFeature.CONFIG),
    SET_CONFIG(25, 12, ConfigSpaceAccess.PAYLOAD_SIZE_BYTES_MAX, 0, 0, ACK, ProtocolFeature.CONFIG),
    CREATE_CRYPTO_SESSION(26, 0, 4096, 0, 0, OWN, ProtocolFeature.CRYPTO_SESSION),
    CLOSE_CRYPTO_SESSION(27, 8, 8, 0, 0, ACK, ProtocolFeature.CRYPTO_SESSION),
    POSTCOPY_ADVISE(28, 0, 0, 0, 0, OWN, ProtocolFeature.PAGEFAULT),
    POSTCOPY_LISTEN(29, 0, 0, 0, 0, U64, ProtocolFeature.PAGEFAULT),
    POSTCOPY_END(30, 0, 0, 0, 0, U64, ProtocolFeature.PAGEFAULT),
    GET_INFLIGHT_FD(
            31,
            InflightDescription.SIZE_BYTES,
            InflightDescription.PADDED_SIZE_BYTES,
            0,
            0,
            OWN,
            ProtocolFeature.INFLIGHT_SHMFD),
    SET_INFLIGHT_FD(
            32,
            InflightDescription.SIZE_BYTES,
            InflightDescription.PADDED_SIZE_BYTES,
            1,
            1,
            ACK,
            ProtocolFeature.INFLIGHT_SHMFD),
    GPU_SET_SOCKET(33, 0, 0, 1, 1, ACK, null),
    RESET_DEVICE(34, 0, 0, 0, 0, ACK, ProtocolFeature.RESET_DEVICE),
    VRING_KICK(35, 8, 8, 0, 0, ACK, ProtocolFeature.INBAND_NOTIFICATIONS),
    GET_MAX_MEM_SLOTS(36, 0, 0, 0, 0, U64, ProtocolFeature.CONFIGURE_MEM_SLOTS),
    ADD_MEM_REG(37, 40, 40, 1, 1, ACK, ProtocolFeature.CONFIGURE_MEM_SLOTS),
    // Old QEMU sends the region's descriptor along; the specification says to accept and close it.
    REM_MEM_REG(38, 40, 40, 0, 1, ACK, ProtocolFeature.CONFIGURE_MEM_SLOTS),
    SET_STATUS(39, 8, 8, 0, 0, ACK, ProtocolFeature.STATUS),
    GET_STATUS(40, 0, 0, 0, 0, U64, ProtocolFeature.STATUS),
    GET_SHARED_OBJECT(41, 16, 16, 0, 0, OWN, ProtocolFeature.SHARED_OBJECT),
    SET_DEVICE_STATE_FD(42, 8, 8, 1, 1, U64, ProtocolFeature.DEVICE_STATE),
    CHECK_DEVICE_STATE(43, 0, 0, 0, 0, U64, ProtocolFeature.DEVICE_STATE),
    GET_SHMEM_CONFIG(44, 0, 0, 0, 0, OWN, ProtocolFeature.SHMEM_MAP);

    /** The largest payload read of a message other than SET_MEM_TABLE; a larger one ends the session. */
    public static final int PAYLOAD_SIZE_BYTES_MAX = 4096;

    private static final FrontendRequest[] ALL = values();

    private final int id;
    private final int payloadSizeBytesMin;
    private final int payloadSizeBytesMax;
    private final int fdCountMin;
    private final int fdCountMax;
    private final ReplyRule replyRule;
    private final @Nullable ProtocolFeature feature;

    FrontendRequest(
            int id,
            int payloadSizeBytesMin,
            int payloadSizeBytesMax,
            int fdCountMin,
            int fdCountMax,
            ReplyRule replyRule,
            @Nullable ProtocolFeature feature) {
        this.id = id;
        this.payloadSizeBytesMin = payloadSizeBytesMin;
        this.payloadSizeBytesMax = payloadSizeBytesMax;
        this.fdCountMin = fdCountMin;
        this.fdCountMax = fdCountMax;
        this.replyRule = replyRule;
        this.feature = feature;
    }

    /** The message with that number, or null when the protocol (as we know it) has none. */
    public static @Nullable FrontendRequest byId(int id) {
        return id >= 1 && id <= ALL.length ? ALL[id - 1] : null;
    }

    /** How large a payload is read at all; beyond that the stream is not worth following. */
    public static int payloadSizeBytesLimit(int id) {
        return id == SET_MEM_TABLE.id ? MemoryTable.SIZE_BYTES_MAX : PAYLOAD_SIZE_BYTES_MAX;
    }

    /** Refuses a message of a shape that the protocol does not allow. */
    public void checkShape(int payloadSizeBytes, int fdCount) throws VhostUserProtocolException {
        if (payloadSizeBytes < payloadSizeBytesMin || payloadSizeBytes > payloadSizeBytesMax) {
            throw new VhostUserProtocolException(this + " has a payload of " + payloadSizeBytes + " bytes instead of "
                    + range(payloadSizeBytesMin, payloadSizeBytesMax));
        }
        if (fdCount < fdCountMin || fdCount > fdCountMax) {
            throw new VhostUserProtocolException(
                    this + " came with " + fdCount + " descriptors instead of " + range(fdCountMin, fdCountMax));
        }
    }

    private static String range(int min, int max) {
        return min == max ? String.valueOf(min) : min + " to " + max;
    }

    public int id() {
        return id;
    }

    public int payloadSizeBytesMin() {
        return payloadSizeBytesMin;
    }

    public int payloadSizeBytesMax() {
        return payloadSizeBytesMax;
    }

    public int fdCountMin() {
        return fdCountMin;
    }

    public int fdCountMax() {
        return fdCountMax;
    }

    public ReplyRule replyRule() {
        return replyRule;
    }

    /** The protocol feature that must have been negotiated, or null. */
    public @Nullable ProtocolFeature feature() {
        return feature;
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

import static java.util.Objects.requireNonNull;

import dev.vublk.vhostuser.linux.Errno;
import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.linux.SharedMapping;
import dev.vublk.vhostuser.protocol.ConfigSpaceAccess;
import dev.vublk.vhostuser.protocol.DeviceStateTransfer;
import dev.vublk.vhostuser.protocol.FrontendRequest;
import dev.vublk.vhostuser.protocol.InflightDescription;
import dev.vublk.vhostuser.protocol.IotlbMessage;
import dev.vublk.vhostuser.protocol.LogRegion;
import dev.vublk.vhostuser.protocol.MemoryRegionDescription;
import dev.vublk.vhostuser.protocol.MemoryTable;
import dev.vublk.vhostuser.protocol.MessageHeader;
import dev.vublk.vhostuser.protocol.ReplyRule;
import dev.vublk.vhostuser.protocol.VhostUserProtocolException;
import dev.vublk.vhostuser.protocol.VringAddress;
import dev.vublk.vhostuser.protocol.VringFd;
import dev.vublk.vhostuser.protocol.VringState;
import dev.vublk.vhostuser.protocol.Wire;
import dev.vublk.vhostuser.socket.AncillaryFds;
import dev.vublk.vhostuser.socket.VhostUserConnection;
import dev.vublk.vhostuser.socket.VhostUserMessage;
import java.io.IOException;
import java.nio.ByteBuffer;
import org.jspecify.annotations.Nullable;

/**
 * Takes one message after the other to the session's method for it, and answers. Control loop.
 *
 * <p>A message that is unknown or was not negotiated is answered with an error where an answer is due, and the session goes
 * on. One that is refused (wrong shape, impossible value) is answered so as well; when it asked for no answer, nothing could
 * tell the front end that we are no longer of one mind, so the session ends, as with DPDK and rust-vmm.
 */
final class RequestDispatcher {
    private static final long ACK_OK = 0;
    private static final long ACK_ERROR = 1;

    private final VhostUserSession session;
    private final VhostUserConnection connection;

    RequestDispatcher(VhostUserSession session, VhostUserConnection connection) {
        this.session = requireNonNull(session, "session");
        this.connection = requireNonNull(connection, "connection");
    }

    /** Carries one message out and answers it. Throws when the session has to end. */
    void dispatch(VhostUserMessage message) throws IOException, VhostUserProtocolException {
        MessageHeader header = message.header();
        FrontendRequest request = FrontendRequest.byId(header.request());
        if (session.awaitsPostcopyAck() && isPostcopyAck(request, header)) {
            takePostcopyAck(message.payload().getLong());
            return;
        }
        if (request == null || !session.features().allows(request.feature())) {
            answerUnavailable(header, request);
            return;
        }
        try {
            request.checkShape(header.sizeBytes(), message.fds().count());
            handle(request, header, message.payload(), message.fds());
        } catch (VhostUserProtocolException e) {
            answerRefused(header, request, e);
        }
    }

    private void handle(FrontendRequest request, MessageHeader header, ByteBuffer payload, AncillaryFds fds)
            throws IOException, VhostUserProtocolException {
        switch (request) {
            case GET_FEATURES -> reply(header, Wire.u64(session.features().offered()));
            case SET_FEATURES -> setFeatures(header, payload.getLong());
            case SET_OWNER -> {} // There is one front end a connection: it is the owner.
            case RESET_OWNER -> session.resetOwner();
            case SET_MEM_TABLE -> {
                if (setMemoryTable(header, MemoryTable.decode(payload), fds)) {
                    return;
                }
            }
            case SET_LOG_BASE -> setLogBase(header, LogRegion.decode(payload), fds);
            case SET_LOG_FD -> session.setLogFd(fds);
            case SET_VRING_NUM -> session.setVringSize(VringState.decode(payload));
            case SET_VRING_ADDR -> session.setVringAddresses(VringAddress.decode(payload));
            case SET_VRING_BASE -> session.setVringBase(VringState.decode(payload));
            case GET_VRING_BASE -> getVringBase(header, VringState.decode(payload));
            case SET_VRING_KICK -> session.setVringKick(VringFd.decode(payload), fds);
            case SET_VRING_CALL -> session.setVringCall(VringFd.decode(payload), fds);
            case SET_VRING_ERR -> session.setVringErr(VringFd.decode(payload), fds);
            case GET_PROTOCOL_FEATURES ->
                reply(header, Wire.u64(session.features().protocolOffered()));
            case SET_PROTOCOL_FEATURES -> session.setProtocolFeatures(payload.getLong());
            case GET_QUEUE_NUM -> reply(header, Wire.u64(session.queueCount()));
            case SET_VRING_ENABLE -> session.enableVring(VringState.decode(payload));
            case SET_BACKEND_REQ_FD -> session.setBackendRequestFd(fds);
            case GET_CONFIG -> getConfig(header, ConfigSpaceAccess.decode(payload));
            case IOTLB_MSG -> iotlbMessage(header, IotlbMessage.decode(payload));
            case SET_CONFIG -> setConfig(ConfigSpaceAccess.decode(payload), payload);
            case GET_INFLIGHT_FD -> getInflightFd(header, InflightDescription.decode(payload));
            case SET_INFLIGHT_FD -> session.setInflight(InflightDescription.decode(payload), fds);
            case RESET_DEVICE -> session.resetDevice();
            case VRING_KICK -> session.kickVring(VringState.decode(payload));
            case SET_STATUS -> session.setStatus(payload.getLong());
            case GET_STATUS -> reply(header, Wire.u64(session.status()));
            case GET_MAX_MEM_SLOTS -> reply(header, Wire.u64(MemoryTable.REGIONS_MAX));
            case ADD_MEM_REG -> {
                if (addMemoryRegion(header, MemoryRegionDescription.decodePadded(payload), fds)) {
                    return;
                }
            }
            case POSTCOPY_ADVISE -> connection.sendReply(header, Wire.empty(), session.advisePostcopy());
            case POSTCOPY_LISTEN -> reply(header, Wire.u64(session.listenPostcopy() ? ACK_OK : ACK_ERROR));
            case POSTCOPY_END -> reply(header, Wire.u64(session.endPostcopy() ? ACK_OK : ACK_ERROR));
            case REM_MEM_REG -> session.removeMemoryRegion(MemoryRegionDescription.decodePadded(payload));
            case SET_DEVICE_STATE_FD ->
                reply(header, Wire.u64(session.setDeviceStateFd(DeviceStateTransfer.decode(payload), fds)));
            case CHECK_DEVICE_STATE -> reply(header, Wire.u64(session.checkDeviceState()));
            default -> {
                answerUnavailable(header, request);
                return;
            }
        }
        if (request.replyRule() == ReplyRule.ACK && header.needsReply()) {
            reply(header, Wire.u64(ACK_OK));
        }
    }

    /**
     * While a guest's memory comes late, the answer says where it lies here, and has the size of the question (QEMU looks). Returns
     * whether it has been answered so.
     */
    private boolean setMemoryTable(MessageHeader header, MemoryTable table, AncillaryFds fds)
            throws IOException, VhostUserProtocolException {
        session.setMemoryTable(table, fds);
        if (!session.isPostcopyListening()) {
            return false;
        }
        ByteBuffer answer = Wire.allocate(header.sizeBytes());
        answer.put(session.memoryBases(table).encode());
        reply(header, answer.clear());
        return true;
    }

    /** The same for one region more. */
    private boolean addMemoryRegion(MessageHeader header, MemoryRegionDescription region, AncillaryFds fds)
            throws IOException, VhostUserProtocolException {
        session.addMemoryRegion(region, fds);
        if (!session.isPostcopyListening()) {
            return false;
        }
        reply(header, session.withHostAddress(region).encodePadded());
        return true;
    }

    /** The front end acknowledges our answer by a number, under the name of the message that it was about (QEMU: the last one). */
    private static boolean isPostcopyAck(@Nullable FrontendRequest request, MessageHeader header) {
        boolean ofMemory = request == FrontendRequest.SET_MEM_TABLE
                || request == FrontendRequest.ADD_MEM_REG
                || request == FrontendRequest.REM_MEM_REG;
        return ofMemory && header.sizeBytes() == Long.BYTES;
    }

    private void takePostcopyAck(long value) throws VhostUserProtocolException {
        if (value != ACK_OK) {
            throw new VhostUserProtocolException("the front end cannot bring this memory's pages: " + value);
        }
        session.acknowledgePostcopyMemory();
    }

    /** Answered whether asked for or not; QEMU looks at nothing but that an answer comes. */
    private void setLogBase(MessageHeader header, LogRegion region, AncillaryFds fds)
            throws IOException, VhostUserProtocolException {
        session.setLogBase(region, fds);
        reply(header, Wire.u64(ACK_OK));
    }

    private void setFeatures(MessageHeader header, long features) throws VhostUserProtocolException {
        try {
            session.setFeatures(features);
        } catch (VhostUserProtocolException e) {
            if (header.needsReply() || !session.refusesFeaturesByStatus()) {
                throw e;
            }
            session.warn(e.reason()); // The front end looks for FEATURES_OK, and does not find it.
        }
    }

    private void getVringBase(MessageHeader header, VringState asked) throws IOException, VhostUserProtocolException {
        int base = session.vringBase(asked);
        reply(header, new VringState(asked.index(), base).encode());
    }

    /** Always answered; the session outlives a mistake, since the front end is told of it. */
    private void iotlbMessage(MessageHeader header, IotlbMessage message) throws IOException {
        if (!session.features().translates()) {
            answerUnavailable(header, FrontendRequest.IOTLB_MSG);
            return;
        }
        try {
            session.takeIotlbMessage(message);
        } catch (VhostUserProtocolException e) {
            session.warn(e.reason());
            reply(header, Wire.u64(ACK_ERROR));
            return;
        }
        reply(header, Wire.u64(ACK_OK));
    }

    /** The reply has the size asked for and repeats the offset as it was given; QEMU takes any other for an error. */
    private void getConfig(MessageHeader header, ConfigSpaceAccess access)
            throws IOException, VhostUserProtocolException {
        byte[] bytes = session.readConfig(access);
        ByteBuffer payload = Wire.allocate(ConfigSpaceAccess.HEADER_SIZE_BYTES + bytes.length);
        access.encode(payload);
        reply(header, payload.put(bytes).flip());
    }

    private void setConfig(ConfigSpaceAccess access, ByteBuffer payload) throws VhostUserProtocolException {
        if (access.sizeBytes() < 0 || access.sizeBytes() > payload.remaining()) {
            throw new VhostUserProtocolException("SET_CONFIG of " + Integer.toUnsignedLong(access.sizeBytes())
                    + " bytes with " + payload.remaining());
        }
        byte[] data = new byte[access.sizeBytes()];
        payload.get(data);
        session.writeConfig(access, data);
    }

    /** The region belongs to the front end: our descriptor is closed when it has its own. */
    private void getInflightFd(MessageHeader header, InflightDescription asked)
            throws IOException, VhostUserProtocolException {
        InflightDescription region = session.describeInflight(asked);
        // Sealed: a front end that is confused rather than hostile cannot truncate it under us.
        int fd = SharedMapping.createSealedFile("vublk-inflight", region.mmapSizeBytes());
        if (fd < 0) {
            throw new VhostUserProtocolException("no memory for an " + region + ": " + Errno.describe(fd));
        }
        try {
            connection.sendReply(header, region.encode(header.sizeBytes()), fd);
        } finally {
            FileDescriptor.close(fd);
        }
    }

    private void answerUnavailable(MessageHeader header, @Nullable FrontendRequest request) throws IOException {
        session.warn("message " + header.request() + (request == null ? "" : " (" + request + ")")
                + " is unknown here or was not negotiated");
        if (request != null && request.replyRule() == ReplyRule.CONFIG) {
            reply(header, Wire.empty());
        } else if (header.needsReply() || (request != null && request.replyRule() != ReplyRule.ACK)) {
            reply(header, Wire.u64(ACK_ERROR));
        }
    }

    private void answerRefused(MessageHeader header, FrontendRequest request, VhostUserProtocolException reason)
            throws IOException, VhostUserProtocolException {
        if (request.replyRule() == ReplyRule.CONFIG) {
            reply(header, Wire.empty());
        } else if (request.replyRule() == ReplyRule.ACK && header.needsReply()) {
            reply(header, Wire.u64(ACK_ERROR));
        } else {
            throw reason;
        }
        session.warn(reason.reason());
    }

    private void reply(MessageHeader header, ByteBuffer payload) throws IOException {
        connection.sendReply(header, payload);
    }
}

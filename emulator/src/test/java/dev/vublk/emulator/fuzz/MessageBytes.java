// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.fuzz;

import dev.vublk.vhostuser.protocol.ConfigSpaceAccess;
import dev.vublk.vhostuser.protocol.DeviceStateTransfer;
import dev.vublk.vhostuser.protocol.FrontendRequest;
import dev.vublk.vhostuser.protocol.InflightDescription;
import dev.vublk.vhostuser.protocol.LogRegion;
import dev.vublk.vhostuser.protocol.MemoryRegionDescription;
import dev.vublk.vhostuser.protocol.MemoryTable;
import dev.vublk.vhostuser.protocol.MessageHeader;
import dev.vublk.vhostuser.protocol.VhostUserProtocolException;
import dev.vublk.vhostuser.protocol.VringAddress;
import dev.vublk.vhostuser.protocol.VringFd;
import dev.vublk.vhostuser.protocol.VringState;
import dev.vublk.vhostuser.protocol.Wire;
import dev.vublk.vhostuser.virtqueue.PackedRingBase;
import java.nio.ByteBuffer;
import java.util.Arrays;

/**
 * One message as bytes: a header and a payload, decoded by the parser for its number. A parser refuses, or gives a value that
 * encodes into the bytes it was read from (but for padding and reserved bits).
 */
final class MessageBytes {
    private MessageBytes() {}

    static void parse(byte[] bytes) {
        try {
            parseChecked(bytes);
        } catch (VhostUserProtocolException refused) {
            if (refused.reason().isEmpty()) {
                throw new AssertionError("refused without a reason", refused);
            }
        }
    }

    private static void parseChecked(byte[] bytes) throws VhostUserProtocolException {
        if (bytes.length < MessageHeader.SIZE_BYTES) {
            return;
        }
        ByteBuffer message = Wire.wrap(bytes);
        MessageHeader header = MessageHeader.decode(message);
        ByteBuffer again = Wire.allocate(MessageHeader.SIZE_BYTES);
        header.encode(again);
        requireSame(bytes, 0, MessageHeader.SIZE_BYTES, again);
        FrontendRequest request = FrontendRequest.byId(header.request());
        int limit = FrontendRequest.payloadSizeBytesLimit(header.request());
        if (request == null || header.sizeBytes() > limit) {
            return;
        }
        // The connection reads as much as the header says.
        byte[] payload =
                Arrays.copyOfRange(bytes, MessageHeader.SIZE_BYTES, MessageHeader.SIZE_BYTES + header.sizeBytes());
        request.checkShape(payload.length, request.fdCountMin());
        decode(request, payload);
    }

    private static void decode(FrontendRequest request, byte[] payload) throws VhostUserProtocolException {
        ByteBuffer buffer = Wire.wrap(payload);
        switch (request) {
            case SET_MEM_TABLE -> {
                MemoryTable table = MemoryTable.decode(buffer);
                if (table.regions().size() > MemoryTable.REGIONS_MAX) {
                    throw new AssertionError(table.regions().size() + " regions");
                }
                ByteBuffer again = table.encode();
                requireSame(payload, 0, Integer.BYTES, again);
                requireSame(payload, 8, again.limit() - 8, again);
            }
            case SET_LOG_BASE ->
                requireSame(payload, 0, payload.length, LogRegion.decode(buffer).encode());
            case SET_VRING_NUM, SET_VRING_BASE, GET_VRING_BASE, SET_VRING_ENABLE, VRING_KICK -> {
                VringState state = VringState.decode(buffer);
                requireSame(payload, 0, payload.length, state.encode());
                checkBase(state.num());
            }
            case SET_VRING_ADDR ->
                requireSame(
                        payload, 0, payload.length, VringAddress.decode(buffer).encode());
            case SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR -> {
                VringFd which = VringFd.decode(buffer);
                if (which.index() < 0
                        || which.index() > 255
                        || !VringFd.decode(which.encode()).equals(which)) {
                    throw new AssertionError(which.toString());
                }
            }
            case GET_CONFIG, SET_CONFIG -> {
                ConfigSpaceAccess access = ConfigSpaceAccess.decode(buffer);
                ByteBuffer again = Wire.allocate(ConfigSpaceAccess.HEADER_SIZE_BYTES);
                access.encode(again);
                requireSame(payload, 0, ConfigSpaceAccess.HEADER_SIZE_BYTES, again);
                access.check();
                int end = access.effectiveOffsetBytes() + access.sizeBytes();
                if (access.effectiveOffsetBytes() < 0 || end > ConfigSpaceAccess.CONFIG_SIZE_BYTES_MAX) {
                    throw new AssertionError(access.toString());
                }
            }
            case GET_INFLIGHT_FD, SET_INFLIGHT_FD ->
                requireSame(
                        payload,
                        0,
                        InflightDescription.SIZE_BYTES,
                        InflightDescription.decode(buffer).encode(payload.length));
            case ADD_MEM_REG, REM_MEM_REG ->
                requireSame(
                        payload,
                        8,
                        32,
                        MemoryRegionDescription.decodePadded(buffer).encodePadded());
            case SET_DEVICE_STATE_FD ->
                requireSame(
                        payload,
                        0,
                        payload.length,
                        DeviceStateTransfer.decode(buffer).encode());
            default -> {}
        }
    }

    private static void checkBase(int base) {
        for (int size = 1; size <= 64; size++) {
            PackedRingBase decoded = PackedRingBase.decode(base);
            if (decoded.fits(size) && (decoded.availPosition() >= size || decoded.usedPosition() >= size)) {
                throw new AssertionError(decoded + " fits " + size);
            }
            if (decoded.encode() != base) {
                throw new AssertionError(decoded + " from " + base);
            }
        }
    }

    private static void requireSame(byte[] expected, int offset, int length, ByteBuffer encoded) {
        byte[] bytes = new byte[length];
        encoded.get(offset, bytes);
        if (!Arrays.equals(expected, offset, offset + length, bytes, 0, length)) {
            throw new AssertionError("encodes into other bytes than it was decoded from");
        }
    }
}

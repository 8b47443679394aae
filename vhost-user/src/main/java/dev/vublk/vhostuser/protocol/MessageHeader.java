// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.protocol;

import java.nio.ByteBuffer;

/**
 * The header of every message (vhost-user, "Header").
 *
 * <pre>
 *   0         4         8         12
 *   | request |  flags  |  size   | payload of size bytes
 *               bits 0-1 version (1), bit 2 REPLY, bit 3 NEED_REPLY
 * </pre>
 *
 * @param request number of a {@link FrontendRequest} or {@link BackendRequest}; may be one we have never heard of
 * @param flags version and flag bits
 * @param sizeBytes length of the payload, 0 or more
 */
public record MessageHeader(int request, int flags, int sizeBytes) {
    public static final int SIZE_BYTES = 12;

    public static final int VERSION = 1;
    public static final int VERSION_MASK = 0x3;
    public static final int FLAG_REPLY = 1 << 2;
    public static final int FLAG_NEED_REPLY = 1 << 3;

    /** Decodes without judging anything but the version: with another one, nothing else can be relied upon. */
    public static MessageHeader decode(ByteBuffer buffer) throws VhostUserProtocolException {
        int request = buffer.getInt();
        int flags = buffer.getInt();
        int sizeBytes = buffer.getInt();
        if ((flags & VERSION_MASK) != VERSION) {
            throw new VhostUserProtocolException("message " + request + " has protocol version "
                    + (flags & VERSION_MASK) + " instead of " + VERSION);
        }
        if (sizeBytes < 0) {
            throw new VhostUserProtocolException(
                    "message " + request + " claims a payload of " + Integer.toUnsignedLong(sizeBytes) + " bytes");
        }
        return new MessageHeader(request, flags, sizeBytes);
    }

    public void encode(ByteBuffer buffer) {
        buffer.putInt(request).putInt(flags).putInt(sizeBytes);
    }

    /** The header of the reply to this message: same request, REPLY set, NEED_REPLY clear. */
    public MessageHeader reply(int payloadSizeBytes) {
        return new MessageHeader(request, VERSION | FLAG_REPLY, payloadSizeBytes);
    }

    public boolean isReply() {
        return (flags & FLAG_REPLY) != 0;
    }

    public boolean needsReply() {
        return (flags & FLAG_NEED_REPLY) != 0;
    }
}

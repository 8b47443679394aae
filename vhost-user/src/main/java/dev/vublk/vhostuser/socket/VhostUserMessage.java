// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.socket;

import dev.vublk.vhostuser.protocol.MessageHeader;
import java.nio.ByteBuffer;

/**
 * One whole message as it came. Closing it closes the descriptors that nobody took.
 *
 * @param header what it is; the request may be unknown
 * @param payload exactly as many bytes as the header says
 * @param fds the descriptors that came with any part of it
 */
public record VhostUserMessage(MessageHeader header, ByteBuffer payload, AncillaryFds fds) implements AutoCloseable {
    @Override
    public void close() {
        fds.close();
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.protocol;

import java.nio.ByteBuffer;

/**
 * The payload of GET_INFLIGHT_FD and SET_INFLIGHT_FD: the region in which requests in flight are kept (vhost-user,
 * "Inflight description").
 *
 * <pre>
 *   0           8             16            18           20
 *   | mmap size | mmap offset | queue count | queue size | (4 bytes of padding)
 * </pre>
 *
 * QEMU sends the C structure with its padding, and takes only an answer of the size that it sent.
 *
 * @param mmapSizeBytes its length; 0 in a question, and in an answer that says "none"
 * @param mmapOffsetBytes where it begins in the file that comes with it
 * @param queueCount how many queues it is for
 * @param queueSize the largest size of those queues
 */
public record InflightDescription(long mmapSizeBytes, long mmapOffsetBytes, int queueCount, int queueSize) {
    public static final int SIZE_BYTES = 20;
    public static final int PADDED_SIZE_BYTES = 24;

    public static InflightDescription decode(ByteBuffer buffer) {
        return new InflightDescription(
                buffer.getLong(),
                buffer.getLong(),
                Short.toUnsignedInt(buffer.getShort()),
                Short.toUnsignedInt(buffer.getShort()));
    }

    /** With as much padding as {@code sizeBytes} leaves room for. */
    public ByteBuffer encode(int sizeBytes) {
        return Wire.allocate(sizeBytes)
                .putLong(mmapSizeBytes)
                .putLong(mmapOffsetBytes)
                .putShort((short) queueCount)
                .putShort((short) queueSize)
                .clear();
    }

    /** For a message. */
    @Override
    public String toString() {
        return "in-flight region of " + mmapSizeBytes + " bytes for " + queueCount + " queues of " + queueSize;
    }
}

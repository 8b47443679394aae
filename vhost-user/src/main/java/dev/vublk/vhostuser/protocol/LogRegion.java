// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.protocol;

import java.nio.ByteBuffer;

/**
 * The payload of SET_LOG_BASE (vhost-user, "Log description"): where in the file that comes with it the dirty log lies.
 *
 * <pre>
 *   0           8             16
 *   | mmap size | mmap offset |
 * </pre>
 *
 * @param sizeBytes length of the log, a bit a page of guest memory; unchecked
 * @param mmapOffsetBytes where it begins in its file; unchecked
 */
public record LogRegion(long sizeBytes, long mmapOffsetBytes) {
    public static final int SIZE_BYTES = 16;

    public static LogRegion decode(ByteBuffer buffer) {
        return new LogRegion(buffer.getLong(), buffer.getLong());
    }

    public ByteBuffer encode() {
        return Wire.allocate(SIZE_BYTES)
                .putLong(sizeBytes)
                .putLong(mmapOffsetBytes)
                .flip();
    }

    /** For a message. */
    @Override
    public String toString() {
        return "dirty log of " + Long.toUnsignedString(sizeBytes) + " bytes at "
                + Long.toUnsignedString(mmapOffsetBytes);
    }
}

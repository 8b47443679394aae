// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.protocol;

import java.nio.ByteBuffer;

/**
 * The head of a GET_CONFIG or SET_CONFIG payload; the bytes of the configuration space follow it.
 *
 * <pre>
 *   0        4      8       12
 *   | offset | size | flags | size bytes
 * </pre>
 *
 * @param offsetBytes first byte accessed, as sent
 * @param sizeBytes number of bytes
 * @param flags who writes: see the constants
 */
public record ConfigSpaceAccess(int offsetBytes, int sizeBytes, int flags) {
    public static final int HEADER_SIZE_BYTES = 12;

    /** VHOST_USER_MAX_CONFIG_SIZE. */
    public static final int CONFIG_SIZE_BYTES_MAX = 256;

    static final int PAYLOAD_SIZE_BYTES_MAX = HEADER_SIZE_BYTES + CONFIG_SIZE_BYTES_MAX;

    /** The guest writes, as the specification numbers it. */
    public static final int FLAG_FRONTEND = 0;

    /** Migration writes; but rust-vmm front ends send it ("writable") for a guest's ordinary write. */
    public static final int FLAG_MIGRATION = 1;

    /** Migration writes, as rust-vmm front ends number it. */
    public static final int FLAG_MIGRATION_RUST_VMM = 2;

    /**
     * Where rust-vmm's constants place the configuration space of a device; Cloud Hypervisor asked for that offset until
     * 2026. It lies beyond every configuration space, so it can mean nothing but the beginning.
     */
    private static final int OFFSET_RUST_VMM = 0x100;

    public static ConfigSpaceAccess decode(ByteBuffer buffer) {
        return new ConfigSpaceAccess(buffer.getInt(), buffer.getInt(), buffer.getInt());
    }

    public void encode(ByteBuffer buffer) {
        buffer.putInt(offsetBytes).putInt(sizeBytes).putInt(flags);
    }

    /** The first byte really meant. */
    public int effectiveOffsetBytes() {
        return offsetBytes == OFFSET_RUST_VMM ? 0 : offsetBytes;
    }

    /** Refuses an access that is empty or goes beyond the largest configuration space, or has flags unheard of. */
    public void check() throws VhostUserProtocolException {
        int offset = effectiveOffsetBytes();
        boolean inside = offset >= 0
                && offset < CONFIG_SIZE_BYTES_MAX
                && sizeBytes >= 1
                && sizeBytes <= CONFIG_SIZE_BYTES_MAX - offset;
        if (!inside) {
            throw new VhostUserProtocolException("configuration access of " + Integer.toUnsignedLong(sizeBytes)
                    + " bytes at " + Integer.toUnsignedLong(offsetBytes));
        }
        if (flags != FLAG_FRONTEND && flags != FLAG_MIGRATION && flags != FLAG_MIGRATION_RUST_VMM) {
            throw new VhostUserProtocolException("configuration access with flags 0x" + Integer.toHexString(flags));
        }
    }
}

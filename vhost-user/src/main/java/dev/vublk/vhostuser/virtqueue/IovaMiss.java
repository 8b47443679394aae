// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.virtqueue;

/**
 * A translation that a queue misses, in one long, so that many are an array: the address of a page, and what the device wants
 * to do there in its two lowest bits.
 */
public final class IovaMiss {
    private static final long PERMISSION_MASK = 3;

    private IovaMiss() {}

    public static long encode(long pageIova, int permission) {
        return pageIova | permission;
    }

    public static long iova(long miss) {
        return miss & ~PERMISSION_MASK;
    }

    public static int permission(long miss) {
        return (int) (miss & PERMISSION_MASK);
    }
}

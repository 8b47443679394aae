// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.linux;

/**
 * {@code struct iovec} by address.
 *
 * <pre>
 *  0        8        16
 *  | base   | length |
 * </pre>
 */
public final class Iovec {
    public static final int SIZE_BYTES = 16;

    /** {@code UIO_MAXIOV}: the most entries that one call takes. */
    public static final int IOV_MAX = 1024;

    private Iovec() {}

    public static long base(long iovAddress) {
        return NativeMemory.getLong(iovAddress);
    }

    public static long length(long iovAddress) {
        return NativeMemory.getLong(iovAddress + 8);
    }

    public static void set(long iovAddress, long base, long lengthBytes) {
        NativeMemory.putLong(iovAddress, base);
        NativeMemory.putLong(iovAddress + 8, lengthBytes);
    }
}

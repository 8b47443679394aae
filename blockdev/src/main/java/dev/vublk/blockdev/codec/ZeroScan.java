// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.codec;

import dev.vublk.blockdev.linux.NativeMemory;

/** Tells blocks of zeroes from others. Any thread. */
public final class ZeroScan {
    /** What is looked at before anything wide is begun; most blocks of data are known by it. */
    private static final int FIRST_BYTES = 64;

    private ZeroScan() {}

    /** Whether all bytes are zero. */
    public static boolean isZero(long address, int lengthBytes) {
        int first = Math.min(lengthBytes, FIRST_BYTES);
        for (int i = 0; i < first; i++) {
            if (NativeMemory.getByte(address + i) != 0) {
                return false;
            }
        }
        // The first bytes are zero; so are all when each byte is like the one 64 bytes before it. mismatch is
        // vectorised.
        return lengthBytes <= FIRST_BYTES
                || NativeMemory.equals(address, address + FIRST_BYTES, lengthBytes - FIRST_BYTES);
    }
}

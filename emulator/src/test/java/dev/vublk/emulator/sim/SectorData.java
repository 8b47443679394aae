// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.sim;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;

/**
 * What sectors hold: 64 words, each {@code stamp << 24 | sector << 8 | word}, or zeroes for stamp 0. So a sector tells
 * which write it is from, and whether it lies where it was written and is all from one write.
 */
final class SectorData {
    static final int BYTES = 512;
    static final long ZEROES = 0;
    static final long TORN = -1;
    private static final int WORDS = BYTES / Long.BYTES;

    private static final VarHandle LONG = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);

    private SectorData() {}

    private static long word(long stamp, int sector, int word) {
        return stamp == ZEROES ? 0 : stamp << 24 | (long) sector << 8 | word;
    }

    static void put(byte[] target, int offset, long stamp, int sector) {
        for (int i = 0; i < WORDS; i++) {
            LONG.set(target, offset + i * Long.BYTES, word(stamp, sector, i));
        }
    }

    /** The stamp of the sector's content, or {@link #TORN}. */
    static long stampOf(byte[] source, int offset, int sector) {
        long first = wordAt(source, offset);
        long stamp = first == 0 ? ZEROES : first >>> 24;
        for (int i = 0; i < WORDS; i++) {
            if (wordAt(source, offset + i * Long.BYTES) != word(stamp, sector, i)) {
                return TORN;
            }
        }
        return stamp;
    }

    private static long wordAt(byte[] source, int offset) {
        return (long) LONG.get(source, offset);
    }
}

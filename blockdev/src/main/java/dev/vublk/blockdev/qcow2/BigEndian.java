// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;

/** Numbers in tables that are made in memory, as the file has them. Any thread. */
final class BigEndian {
    private static final VarHandle LONG = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.BIG_ENDIAN);

    private BigEndian() {}

    static void putLong(byte[] table, int offsetBytes, long value) {
        LONG.set(table, offsetBytes, value);
    }

    /** The first {@code count} values, from the table's beginning on. */
    static void putAll(byte[] table, long[] values, int count) {
        for (int i = 0; i < count; i++) {
            putLong(table, i * Long.BYTES, values[i]);
        }
    }
}

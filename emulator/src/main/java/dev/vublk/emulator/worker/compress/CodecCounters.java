// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.worker.compress;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.List;

/** What an engine has done. Written by the submitter alone; others read values that may be a little old, but whole. */
final class CodecCounters {
    private static final int BLOCKS = 0;
    private static final int ZERO = 1;
    private static final int COMPRESSED = 2;
    private static final int INCOMPRESSIBLE = 3;
    private static final int BUSY = 4;
    private static final int DECODED = 5;
    private static final int CORRUPT = 6;
    private static final int BY_SUBMITTER = 7;
    private static final int INPUT_BYTES = 8;
    private static final int OUTPUT_BYTES = 9;
    private static final int PACKED_INPUT_BYTES = 10;
    private static final int PACKED_OUTPUT_BYTES = 11;
    private static final int FIELDS = 12;

    private static final VarHandle LONGS = MethodHandles.arrayElementVarHandle(long[].class);

    private final long[] values = new long[FIELDS];

    /** A block whose result is about to be given out. */
    void count(CodecBlock block) {
        add(BLOCKS, 1);
        add(INPUT_BYTES, block.inputBytes());
        add(OUTPUT_BYTES, block.resultBytes());
        switch (block.outcome) {
            case ZERO -> add(ZERO, 1);
            case COMPRESSED -> {
                add(COMPRESSED, 1);
                add(PACKED_INPUT_BYTES, block.inputBytes());
                add(PACKED_OUTPUT_BYTES, block.outputBytes);
            }
            case INCOMPRESSIBLE -> add(INCOMPRESSIBLE, 1);
            case BUSY -> add(BUSY, 1);
            case DECODED -> add(DECODED, 1);
            case CORRUPT -> add(CORRUPT, 1);
            case NONE -> throw new IllegalStateException("a result without outcome");
        }
    }

    void countBySubmitter() {
        add(BY_SUBMITTER, 1);
    }

    private void add(int field, long number) {
        LONGS.setOpaque(values, field, values[field] + number);
    }

    private long get(int field) {
        return (long) LONGS.getOpaque(values, field);
    }

    CodecStats stats(long elapsedNs, List<Long> threadCpuNs) {
        return new CodecStats(
                get(BLOCKS),
                get(ZERO),
                get(COMPRESSED),
                get(INCOMPRESSIBLE),
                get(BUSY),
                get(DECODED),
                get(CORRUPT),
                get(BY_SUBMITTER),
                get(INPUT_BYTES),
                get(OUTPUT_BYTES),
                get(PACKED_INPUT_BYTES),
                get(PACKED_OUTPUT_BYTES),
                elapsedNs,
                threadCpuNs);
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.codec;

import static dev.vublk.blockdev.codec.DeflateFormat.*;

import java.util.Arrays;

/**
 * The header of a dynamic deflate block: the lengths of both codes, run-length coded and then coded by a code of their own
 * (RFC 1951, 3.2.7). Belongs to one thread.
 */
final class CodeLengths {
    private static final int LITERAL_CODES_MIN = 257;
    private static final int PRECODES_MIN = 4;
    private static final int COUNT_BITS = 5 + 5 + 4;

    private final byte[] lengths = new byte[LITERAL_CODES + DISTANCE_CODES];

    /** symbol | extra bits << 8 */
    private final int[] items = new int[lengths.length];

    private final int[] counts = new int[PRECODES];
    private final PrefixCode precode = new PrefixCode(PRECODES, PRECODE_BITS_MAX);
    private int literals;
    private int distances;
    private int precodes;
    private int itemCount;

    void set(byte[] literalBits, byte[] distanceBits) {
        literals = used(literalBits, LITERAL_CODES_USED, LITERAL_CODES_MIN);
        distances = used(distanceBits, DISTANCE_CODES, 1);
        System.arraycopy(literalBits, 0, lengths, 0, literals);
        System.arraycopy(distanceBits, 0, lengths, literals, distances);
        Arrays.fill(counts, 0);
        itemCount = 0;
        int total = literals + distances;
        for (int i = 0; i < total; ) {
            int run = 1;
            while (i + run < total && lengths[i + run] == lengths[i]) {
                run++;
            }
            addRun(lengths[i], run);
            i += run;
        }
        precode.build(counts);
        precodes = PRECODES;
        while (precodes > PRECODES_MIN && precode.bits[PRECODE_ORDER[precodes - 1]] == 0) {
            precodes--;
        }
    }

    int headerBits() {
        int sum = COUNT_BITS + 3 * precodes;
        for (int i = 0; i < PRECODES; i++) {
            sum += counts[i] * (precode.bits[i] + extraBits(i));
        }
        return sum;
    }

    void write(BitWriter out) {
        out.put((literals - LITERAL_CODES_MIN) | (distances - 1) << 5 | (precodes - PRECODES_MIN) << 10, COUNT_BITS);
        for (int i = 0; i < precodes; i++) {
            out.put(precode.bits[PRECODE_ORDER[i]], 3);
        }
        for (int i = 0; i < itemCount; i++) {
            int symbol = items[i] & 0xff;
            int bits = precode.bits[symbol];
            out.put((precode.codes[symbol] & 0xffff) | (long) (items[i] >>> 8) << bits, bits + extraBits(symbol));
        }
    }

    private static int used(byte[] bits, int max, int min) {
        int number = max;
        while (number > min && bits[number - 1] == 0) {
            number--;
        }
        return number;
    }

    private void addRun(int length, int run) {
        int left = run;
        if (length == 0) {
            while (left >= 11) {
                int part = Math.min(left, 138);
                add(REPEAT_ZERO_LONG, part - 11);
                left -= part;
            }
            if (left >= 3) {
                add(REPEAT_ZERO, left - 3);
                left = 0;
            }
        } else if (left >= 4) {
            add(length, 0);
            left--;
            while (left >= 3) {
                int part = Math.min(left, 6);
                add(REPEAT_PREVIOUS, part - 3);
                left -= part;
            }
        }
        for (; left > 0; left--) {
            add(length, 0);
        }
    }

    private void add(int symbol, int extra) {
        items[itemCount++] = symbol | extra << 8;
        counts[symbol]++;
    }

    private static int extraBits(int symbol) {
        return switch (symbol) {
            case REPEAT_PREVIOUS -> 2;
            case REPEAT_ZERO -> 3;
            case REPEAT_ZERO_LONG -> 7;
            default -> 0;
        };
    }
}

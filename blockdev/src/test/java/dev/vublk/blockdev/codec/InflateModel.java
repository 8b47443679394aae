// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.codec;

import java.io.ByteArrayOutputStream;
import java.util.Arrays;

/** Inflate as the specification tells it, bit by bit, slow and plain; it notes the largest distance. One thread. */
final class InflateModel {
    private final byte[] input;
    private final ByteArrayOutputStream output = new ByteArrayOutputStream();
    private int bit;
    private int distanceMax;

    InflateModel(byte[] input) {
        this.input = input;
    }

    byte[] inflate() {
        boolean last;
        do {
            last = bits(1) == 1;
            switch (bits(2)) {
                case 0 -> stored();
                case 1 -> coded(fixedLiterals(), lengths(30, 5));
                case 2 -> dynamic();
                default -> throw new IllegalStateException("reserved block type");
            }
        } while (!last);
        return output.toByteArray();
    }

    int distanceMax() {
        return distanceMax;
    }

    /** Bytes of the input that were read. */
    int inputBytes() {
        return (bit + 7) / 8;
    }

    private int bits(int count) {
        int value = 0;
        for (int i = 0; i < count; i++, bit++) {
            value |= ((input[bit / 8] >> (bit % 8)) & 1) << i;
        }
        return value;
    }

    private void stored() {
        bit = (bit + 7) / 8 * 8;
        int length = bits(16);
        if (bits(16) != (~length & 0xffff)) {
            throw new IllegalStateException("stored length");
        }
        output.write(input, bit / 8, length);
        bit += length * 8;
    }

    private void dynamic() {
        int literals = bits(5) + 257;
        int distances = bits(5) + 1;
        int precodes = bits(4) + 4;
        int[] precode = new int[19];
        int[] order = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
        for (int i = 0; i < precodes; i++) {
            precode[order[i]] = bits(3);
        }
        int[] all = new int[literals + distances];
        for (int at = 0; at < all.length; ) {
            int symbol = symbol(precode);
            int value = symbol < 16 ? symbol : symbol == 16 ? all[at - 1] : 0;
            int repeat = symbol < 16 ? 1 : symbol == 16 ? 3 + bits(2) : symbol == 17 ? 3 + bits(3) : 11 + bits(7);
            for (; repeat > 0; repeat--) {
                all[at++] = value;
            }
        }
        int[] literalLengths = new int[literals];
        int[] distanceLengths = new int[distances];
        System.arraycopy(all, 0, literalLengths, 0, literals);
        System.arraycopy(all, literals, distanceLengths, 0, distances);
        coded(literalLengths, distanceLengths);
    }

    private void coded(int[] literalLengths, int[] distanceLengths) {
        for (int symbol = symbol(literalLengths); symbol != 256; symbol = symbol(literalLengths)) {
            if (symbol < 256) {
                output.write(symbol);
            } else {
                int length = base(symbol - 257, 4, 3, 28);
                int slot = symbol(distanceLengths);
                int extra = Math.max(0, slot / 2 - 1);
                int distance = slot < 2 ? slot + 1 : ((2 + slot % 2) << extra) + 1 + bits(extra);
                copy(symbol == 285 ? 258 : length, distance);
            }
        }
    }

    private int base(int slot, int perStep, int first, int slotLast) {
        if (slot >= slotLast) {
            return 258;
        }
        int extra = Math.max(0, slot / perStep - 1);
        return slot < 8 ? slot + first : ((4 + slot % perStep) << extra) + first + bits(extra);
    }

    private void copy(int length, int distance) {
        distanceMax = Math.max(distanceMax, distance);
        byte[] soFar = output.toByteArray();
        for (int i = 0; i < length; i++) {
            output.write(soFar[soFar.length - distance + i % distance]);
        }
    }

    /** The next symbol of a canonical code. */
    private int symbol(int[] codeLengths) {
        int code = 0;
        int first = 0;
        for (int length = 1; length <= 15; length++) {
            code = (code << 1) | bits(1);
            int count = 0;
            for (int symbol = 0; symbol < codeLengths.length; symbol++) {
                if (codeLengths[symbol] == length) {
                    if (code == first + count) {
                        return symbol;
                    }
                    count++;
                }
            }
            first = (first + count) << 1;
        }
        throw new IllegalStateException("no such code");
    }

    private static int[] fixedLiterals() {
        int[] all = lengths(288, 8);
        for (int i = 144; i < 256; i++) {
            all[i] = 9;
        }
        for (int i = 256; i < 280; i++) {
            all[i] = 7;
        }
        return all;
    }

    private static int[] lengths(int count, int value) {
        int[] all = new int[count];
        Arrays.fill(all, value);
        return all;
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.codec;

/** Numbers of the deflate format (RFC 1951). */
final class DeflateFormat {
    static final int LENGTH_MIN = 3;
    static final int LENGTH_MAX = 258;
    static final int DISTANCE_MAX = 32768;

    static final int BLOCK_STORED = 0;
    static final int BLOCK_FIXED = 1;
    static final int BLOCK_DYNAMIC = 2;

    /** Literals 0 to 255, the end of the block, and 29 lengths; two more only have a place in the fixed code. */
    static final int LITERAL_CODES = 288;

    static final int LITERAL_CODES_USED = 286;
    static final int END_OF_BLOCK = 256;
    static final int FIRST_LENGTH_CODE = 257;
    static final int LENGTH_CODES = 29;
    static final int DISTANCE_CODES = 30;
    static final int CODE_BITS_MAX = 15;

    /** Of every fixed distance code (3.2.6). */
    static final byte FIXED_DISTANCE_BITS = 5;

    /** The code in which lengths of codes are written. */
    static final int PRECODES = 19;

    static final int PRECODE_BITS_MAX = 7;
    static final int REPEAT_PREVIOUS = 16;
    static final int REPEAT_ZERO = 17;
    static final int REPEAT_ZERO_LONG = 18;

    /** 3.2.7: in which order the lengths of the precode's own codes are written. */
    static final byte[] PRECODE_ORDER = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};

    /** 3.2.5: extra bits behind each length code, and the smallest length of each. */
    static final byte[] LENGTH_EXTRA_BITS = {
        0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0
    };

    static final short[] LENGTH_BASE = new short[LENGTH_CODES];

    /** The same for distances. */
    static final byte[] DISTANCE_EXTRA_BITS = new byte[DISTANCE_CODES];

    static final int[] DISTANCE_BASE = new int[DISTANCE_CODES];

    /** The length code less 257 of each length. */
    static final byte[] LENGTH_SLOT = new byte[LENGTH_MAX + 1];

    /** The distance code of distances up to 256, by distance - 1; then by (distance - 1) / 128 + 256. */
    private static final byte[] DISTANCE_SLOT = new byte[512];

    static {
        int base = LENGTH_MIN;
        for (int slot = 0; slot < LENGTH_CODES - 1; slot++) {
            LENGTH_BASE[slot] = (short) base;
            for (int i = 0; i < 1 << LENGTH_EXTRA_BITS[slot] && base <= LENGTH_MAX; i++) {
                LENGTH_SLOT[base++] = (byte) slot;
            }
        }
        LENGTH_BASE[LENGTH_CODES - 1] = LENGTH_MAX; // which has a code of its own
        LENGTH_SLOT[LENGTH_MAX] = LENGTH_CODES - 1;
        int distance = 1;
        for (int slot = 0; slot < DISTANCE_CODES; slot++) {
            int extra = Math.max(0, slot / 2 - 1);
            DISTANCE_EXTRA_BITS[slot] = (byte) extra;
            DISTANCE_BASE[slot] = distance;
            for (int i = 0; i < 1 << extra; i++, distance++) {
                DISTANCE_SLOT[distance <= 256 ? distance - 1 : 256 + ((distance - 1) >>> 7)] = (byte) slot;
            }
        }
    }

    private DeflateFormat() {}

    static int distanceSlot(int distance) {
        int index = distance - 1;
        return DISTANCE_SLOT[index < 256 ? index : 256 + (index >>> 7)];
    }

    /** Lengths of the fixed literal code (3.2.6). */
    static int fixedLiteralBits(int symbol) {
        return symbol < 144 ? 8 : symbol < 256 ? 9 : symbol < 280 ? 7 : 8;
    }
}

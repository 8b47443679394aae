// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.codec;

import java.util.Arrays;

/**
 * An optimal prefix code for counted symbols, no code longer than a limit, as deflate wants it. Belongs to one thread.
 *
 * <p>Lengths are computed in place on the sorted counts (Moffat and Katajainen, 1995). Where that gives codes beyond the limit,
 * they are shortened to it and others lengthened until Kraft's sum is one again, which costs next to nothing in size.
 */
final class PrefixCode {
    private static final int SYMBOL_BITS = 9;
    private static final int SYMBOL_MASK = (1 << SYMBOL_BITS) - 1;

    private final int symbols;
    private final int bitsMax;
    private final int[] sorted;
    private final int[] tree;
    private final int[] ofLength;
    private final int[] nextCode;

    /** Length of each symbol's code in bits, 0 for one that does not occur. */
    final byte[] bits;

    /** Each symbol's code, its first bit lowest, as deflate writes it. */
    final short[] codes;

    PrefixCode(int symbols, int bitsMax) {
        this.symbols = symbols;
        this.bitsMax = bitsMax;
        sorted = new int[symbols];
        tree = new int[symbols];
        ofLength = new int[Math.max(bitsMax, 32) + 1];
        nextCode = new int[bitsMax + 2];
        bits = new byte[symbols];
        codes = new short[symbols];
    }

    /** Makes the code for counts, each below 2^22. At least two symbols get codes, for decoders that want a whole code. */
    void build(int[] counts) {
        int used = 0;
        Arrays.fill(bits, (byte) 0);
        for (int symbol = 0; symbol < symbols; symbol++) {
            if (counts[symbol] != 0) {
                sorted[used++] = counts[symbol] << SYMBOL_BITS | symbol;
            }
        }
        if (used < 2) {
            int only = used == 0 ? 0 : sorted[0] & SYMBOL_MASK;
            bits[only] = 1;
            bits[only == 0 ? 1 : 0] = 1;
        } else {
            Arrays.sort(sorted, 0, used);
            lengths(used);
        }
        assignCodes();
    }

    /** Takes lengths that are in {@link #bits} already. */
    void assignCodes() {
        Arrays.fill(ofLength, 0);
        for (int symbol = 0; symbol < symbols; symbol++) {
            ofLength[bits[symbol]]++;
        }
        ofLength[0] = 0;
        int code = 0;
        for (int length = 1; length <= bitsMax; length++) {
            code = (code + ofLength[length - 1]) << 1;
            nextCode[length] = code;
        }
        for (int symbol = 0; symbol < symbols; symbol++) {
            int length = bits[symbol];
            if (length != 0) {
                codes[symbol] = (short) (Integer.reverse(nextCode[length]++) >>> (32 - length));
            }
        }
    }

    private void lengths(int used) {
        for (int i = 0; i < used; i++) {
            tree[i] = sorted[i] >>> SYMBOL_BITS;
        }
        parents(used);
        countDepths(used);
        limit();
        // The rarest symbol gets the longest code.
        int next = 0;
        for (int length = bitsMax; length > 0; length--) {
            for (int i = 0; i < ofLength[length]; i++) {
                bits[sorted[next++] & SYMBOL_MASK] = (byte) length;
            }
        }
    }

    /** Joins the two lightest nodes again and again; afterwards each inner node has its parent's index. */
    private void parents(int used) {
        int leaf = 0;
        int root = 0;
        for (int next = 0; next < used - 1; next++) {
            int weight;
            if (leaf >= used || (root < next && tree[root] < tree[leaf])) {
                weight = tree[root];
                tree[root++] = next;
            } else {
                weight = tree[leaf++];
            }
            if (leaf >= used || (root < next && tree[root] < tree[leaf])) {
                weight += tree[root];
                tree[root++] = next;
            } else {
                weight += tree[leaf++];
            }
            tree[next] = weight;
        }
    }

    /** How many leaves there are at each depth; those that are too deep count at the limit. */
    private void countDepths(int used) {
        Arrays.fill(ofLength, 0);
        int root = used - 2;
        tree[root] = 0;
        for (int i = root - 1; i >= 0; i--) {
            tree[i] = tree[tree[i]] + 1;
        }
        int nodes = 1;
        int depth = 0;
        int next = root;
        while (nodes > 0) {
            int inner = 0;
            while (next >= 0 && tree[next] == depth) {
                inner++;
                next--;
            }
            ofLength[Math.min(depth, bitsMax)] += nodes - inner;
            nodes = 2 * inner;
            depth++;
        }
    }

    private void limit() {
        long sum = 0;
        for (int length = 1; length <= bitsMax; length++) {
            sum += (long) ofLength[length] << (bitsMax - length);
        }
        long excess = sum - (1L << bitsMax);
        while (excess > 0) {
            // A leaf that is shorter than the limit moves down one, and one of those at the limit beside it: one unit
            // less.
            int length = bitsMax - 1;
            while (ofLength[length] == 0) {
                length--;
            }
            ofLength[length]--;
            ofLength[length + 1] += 2;
            ofLength[bitsMax]--;
            excess--;
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.codec;

import dev.vublk.blockdev.linux.NativeMemory;
import java.util.Arrays;

/**
 * Finds earlier occurrences of what is at a position, by chains of positions whose four bytes have the same hash, and one
 * position for each hash of three bytes. Belongs to one thread.
 *
 * <p>Positions go on counting from block to block, with a gap of a window, so that what is left of an earlier block is too
 * far away to be seen, and nothing must be cleared.
 */
final class MatchFinder {
    private static final int HASH_MULTIPLIER = 0x9E3779B1; // 2^32 divided by the golden ratio

    /** Sixteen times the largest block; arbitrary beyond that. */
    private static final int POSITION_MAX = 1 << 30;

    /** Eight times as many heads as positions keep most chains free of strangers; beyond 2^15 they do not fit the cache. */
    private static final int HASH_BITS_MAX = 15;

    private final int windowBytes;
    private final int chainShift;
    private final int tripleShift;
    private final int[] chainHeads;
    private final int[] triples;
    private final int[] previous;
    private int end;

    MatchFinder(int windowBytes) {
        this.windowBytes = windowBytes;
        int hashBits = Math.min(HASH_BITS_MAX, Integer.numberOfTrailingZeros(windowBytes) + 3);
        chainShift = 32 - hashBits;
        tripleShift = 32 - (hashBits - 1);
        chainHeads = new int[1 << hashBits];
        triples = new int[1 << (hashBits - 1)];
        previous = new int[windowBytes];
    }

    /** The position of a block's first byte; the block is forgotten with the next. */
    int begin(int blockBytes) {
        if (end > POSITION_MAX - windowBytes) {
            Arrays.fill(chainHeads, 0);
            Arrays.fill(triples, 0);
            end = 0;
        }
        int first = end + windowBytes;
        end = first + blockBytes;
        return first;
    }

    /**
     * Looks for a match that is longer than {@code longerThan}, and takes the position in.
     *
     * @param bias what makes an address of a position
     * @param lengthMax no match is longer; at least 4
     * @param lengthNice one of that length ends the search
     * @return length << 16 | distance; 0 when there is none
     */
    int find(long bias, int position, int longerThan, int lengthMax, int lengthNice, int candidatesMax) {
        int[] previous = this.previous;
        int mask = previous.length - 1;
        long at = bias + position;
        int word = NativeMemory.getInt(at);
        int chain = (word * HASH_MULTIPLIER) >>> chainShift;
        int triple = ((word << 8) * HASH_MULTIPLIER) >>> tripleShift;
        int candidate = chainHeads[chain];
        int near = triples[triple];
        chainHeads[chain] = position;
        triples[triple] = position;
        previous[position & mask] = candidate;
        int reach = position - windowBytes;
        int length = longerThan;
        int distance = 0;
        if (length < 3) {
            if (near > reach && ((NativeMemory.getInt(bias + near) ^ word) << 8) == 0) {
                distance = position - near;
            }
            length = 3;
        }
        int tail = NativeMemory.getInt(at + length - 3);
        for (int tries = candidatesMax; candidate > reach && tries > 0; tries--) {
            long from = bias + candidate;
            if (NativeMemory.getInt(from + length - 3) == tail && NativeMemory.getInt(from) == word) {
                long difference = NativeMemory.getLong(from + 4) ^ NativeMemory.getLong(at + 4);
                int same = difference != 0
                        ? Math.min(4 + (Long.numberOfTrailingZeros(difference) >>> 3), lengthMax)
                        : sameBytes(from, at, lengthMax);
                if (same > length) {
                    length = same;
                    distance = position - candidate;
                    if (length >= lengthNice) {
                        break;
                    }
                    tail = NativeMemory.getInt(at + length - 3);
                }
            }
            candidate = previous[candidate & mask];
        }
        return distance == 0 ? 0 : length << 16 | distance;
    }

    /** Takes in positions that nothing is looked for at. */
    void skip(long bias, int from, int to) {
        int[] previous = this.previous;
        int mask = previous.length - 1;
        for (int position = from; position < to; position++) {
            int word = NativeMemory.getInt(bias + position);
            int chain = (word * HASH_MULTIPLIER) >>> chainShift;
            previous[position & mask] = chainHeads[chain];
            chainHeads[chain] = position;
            triples[((word << 8) * HASH_MULTIPLIER) >>> tripleShift] = position;
        }
    }

    /** How many bytes are the same, of which twelve are known to be. */
    private static int sameBytes(long first, long second, int lengthMax) {
        int same = 12;
        while (same < lengthMax) {
            long difference = NativeMemory.getLong(first + same) ^ NativeMemory.getLong(second + same);
            if (difference != 0) {
                return Math.min(same + (Long.numberOfTrailingZeros(difference) >>> 3), lengthMax);
            }
            same += 8;
        }
        return lengthMax;
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.codec;

/**
 * What a deflate block is made of: runs of literals, which stay in the source, each with the match behind it. Belongs to one
 * thread.
 */
final class DeflateSequences {
    /** The most sequences of a block, arbitrary: beyond it another header costs nothing. */
    static final int CAPACITY = 1 << 15;

    /** How many literals come before each match. */
    final int[] literalRuns = new int[CAPACITY];

    /** length << 16 | distance; 0 where there is no match. */
    final int[] matches = new int[CAPACITY];

    int count;

    boolean hasRoomFor(int more) {
        return count + more <= CAPACITY;
    }

    void add(int literalRun, int match) {
        literalRuns[count] = literalRun;
        matches[count++] = match;
    }

    /** Takes the first ones out. */
    void removeFirst(int number) {
        count -= number;
        System.arraycopy(literalRuns, number, literalRuns, 0, count);
        System.arraycopy(matches, number, matches, 0, count);
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.codec;

import static dev.vublk.blockdev.codec.DeflateFormat.*;

import dev.vublk.blockdev.linux.NativeMemory;

/**
 * Deflate (RFC 1951) of one block of native memory at a time, with a window that may be smaller than deflate's. Belongs to one
 * thread at a time; allocates nothing after its construction.
 *
 * <p>The block is parsed in chunks. A chunk joins the deflate block before it unless, by the entropy of both, two blocks with a
 * code of their own each are smaller.
 */
final class DeflateEncoder {
    /**
     * After so many literals without a match, 2^8, only every second position is looked at, after twice as many every third, and so
     * on: what is compressed already goes through four times as fast, and other data has no such runs.
     */
    private static final int RUN_SHIFT = 8;

    /** Symbols in a chunk: some hundred bytes more than a code's lengths take; by measurement. */
    private static final int CHUNK_SYMBOLS = 4096;

    /** {@link MatchFinder} looks at four bytes. */
    private static final int SEARCH_BYTES_MIN = 4;

    private final MatchFinder finder;
    private final DeflateLevel level;
    private final DeflateBlockWriter writer = new DeflateBlockWriter();
    private final DeflateSequences sequences = new DeflateSequences();
    private final SymbolCounts chunk = new SymbolCounts();
    private final SymbolCounts block = new SymbolCounts();
    private final SymbolCounts joined = new SymbolCounts();
    private int blockSequences;
    private int blockStart;
    private float blockBits;

    /** @param windowBytes no match is further away; a power of two up to 32768 */
    DeflateEncoder(int windowBytes, int levelNumber) {
        finder = new MatchFinder(windowBytes);
        level = DeflateLevel.of(levelNumber);
    }

    /**
     * Compresses a block.
     *
     * @param source of which 16 bytes more may be read
     * @param target of which eight bytes more than {@code limitBytes} may be written
     * @return the bytes written, or {@link BlockEncoder#NOT_SMALLER} when there are more than {@code limitBytes}
     */
    int encode(long source, int sourceBytes, long target, int limitBytes) {
        int first = finder.begin(sourceBytes);
        long bias = source - first;
        int end = first + sourceBytes;
        writer.begin(target, limitBytes);
        sequences.count = 0;
        blockSequences = 0;
        blockStart = first;
        int position = first;
        while (position < end) {
            int chunkStart = position;
            position = parseChunk(bias, position, end);
            if (!endChunk(bias, chunkStart)) {
                return BlockEncoder.NOT_SMALLER;
            }
        }
        if (blockSequences == 0) {
            block.clear();
        }
        return writeBlock(bias, end, true) ? writer.finish() : BlockEncoder.NOT_SMALLER;
    }

    /** Parses up to some thousand symbols; where it stopped. */
    private int parseChunk(long bias, int start, int end) {
        chunk.clear();
        int searchEnd = end - SEARCH_BYTES_MIN;
        int position = start;
        int run = 0;
        int symbols = 0;
        while (position <= searchEnd && symbols < CHUNK_SYMBOLS) {
            int match = find(bias, position, end, LENGTH_MIN - 1, level.candidatesMax());
            if (match == 0) {
                int stop = Math.min(searchEnd + 1, position + 1 + (run >> RUN_SHIFT));
                do {
                    chunk.literals[NativeMemory.getByte(bias + position) & 0xff]++;
                    position++;
                    run++;
                    symbols++;
                } while (position < stop);
                continue;
            }
            int taken = position + 1;
            int steps = level.lazySteps();
            while (steps > 0 && match >>> 16 < level.lengthNice() && taken <= searchEnd) {
                int later = find(bias, taken, end, (match >>> 16) - 1, level.candidatesMax() >> 1);
                taken++;
                steps--;
                int skipped = taken - 1 - position;
                if (later != 0 && isBetter(match, later, skipped)) {
                    for (; skipped > 0; skipped--) {
                        chunk.literals[NativeMemory.getByte(bias + position) & 0xff]++;
                        position++;
                        run++;
                        symbols++;
                    }
                    match = later;
                    steps = level.lazySteps();
                }
            }
            int length = match >>> 16;
            chunk.literals[FIRST_LENGTH_CODE + LENGTH_SLOT[length]]++;
            chunk.distances[distanceSlot(match & 0xffff)]++;
            sequences.add(run, match);
            run = 0;
            symbols++;
            position += length;
            finder.skip(bias, taken, Math.min(position, searchEnd + 1));
        }
        if (position > searchEnd) {
            for (; position < end; position++) {
                chunk.literals[NativeMemory.getByte(bias + position) & 0xff]++;
                run++;
            }
        }
        if (run != 0) {
            sequences.add(run, 0);
        }
        return position;
    }

    private int find(long bias, int position, int end, int longerThan, int candidatesMax) {
        return finder.find(
                bias, position, longerThan, Math.min(LENGTH_MAX, end - position), level.lengthNice(), candidatesMax);
    }

    /** Whether a later match is worth the literals before it: a byte more is worth four bits, distances cost their bits. */
    private static boolean isBetter(int match, int later, int skipped) {
        int gain = 4 * ((later >>> 16) - (match >>> 16));
        int distance = Integer.numberOfLeadingZeros(later & 0xffff) - Integer.numberOfLeadingZeros(match & 0xffff);
        return gain + distance > (skipped == 1 ? 2 : 6);
    }

    /** Joins the chunk to the block, or writes the block and begins another; false when there is no more room. */
    private boolean endChunk(long bias, int chunkStart) {
        float chunkBits = chunk.estimatedBits();
        if (blockSequences != 0) {
            joined.set(block);
            joined.add(chunk);
            float joinedBits = joined.estimatedBits();
            if (joinedBits <= blockBits + chunkBits && sequences.hasRoomFor(CHUNK_SYMBOLS + 1)) {
                block.set(joined);
                blockBits = joinedBits;
                blockSequences = sequences.count;
                return true;
            }
            if (!writeBlock(bias, chunkStart, false)) {
                return false;
            }
            sequences.removeFirst(blockSequences);
            blockStart = chunkStart;
        }
        block.set(chunk);
        blockBits = chunkBits;
        blockSequences = sequences.count;
        return true;
    }

    private boolean writeBlock(long bias, int blockEnd, boolean last) {
        return writer.write(sequences, blockSequences, block, bias + blockStart, blockEnd - blockStart, last);
    }
}

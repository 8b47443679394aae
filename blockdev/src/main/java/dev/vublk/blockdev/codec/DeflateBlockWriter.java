// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.codec;

import static dev.vublk.blockdev.codec.DeflateFormat.*;

import dev.vublk.blockdev.linux.NativeMemory;

/**
 * Writes deflate blocks in whichever of the three forms is the smallest. Belongs to one thread.
 *
 * <p>How large a block becomes is computed before its first bit is written; so it is known whether there is room, and no store
 * has to ask.
 */
final class DeflateBlockWriter {
    private static final int TYPE_BITS = 3;

    private final BitWriter out = new BitWriter();
    private final PrefixCode literalCode = new PrefixCode(LITERAL_CODES, CODE_BITS_MAX);
    private final PrefixCode distanceCode = new PrefixCode(DISTANCE_CODES, CODE_BITS_MAX);
    private final CodeLengths codeLengths = new CodeLengths();

    /** By literal, and by length: bits to write | how many << 24. */
    private final int[] literalBits = new int[256];

    private final int[] lengthBits = new int[LENGTH_MAX + 1];

    private long limitBits;

    void begin(long target, int limitBytes) {
        out.begin(target);
        limitBits = limitBytes * 8L;
    }

    /**
     * Writes the first sequences as one block.
     *
     * @param counts of all symbols in them, without the end of the block
     * @return false when it does not fit, and nothing is written
     */
    boolean write(
            DeflateSequences sequences, int number, SymbolCounts counts, long source, int sourceBytes, boolean last) {
        counts.literals[END_OF_BLOCK] = 1;
        literalCode.build(counts.literals);
        distanceCode.build(counts.distances);
        codeLengths.set(literalCode.bits, distanceCode.bits);
        long extra = extraBits(counts);
        long dynamicBits = TYPE_BITS + codeLengths.headerBits() + extra + dynamicBits(counts);
        long fixedBits = TYPE_BITS + extra + fixedBits(counts);
        long storedBits = DeflateStored.bytes(sourceBytes) * 8L;
        if (out.bits() + Math.min(Math.min(dynamicBits, fixedBits), storedBits) > limitBits) {
            return false;
        }
        if (storedBits <= dynamicBits && storedBits <= fixedBits) {
            return writeStored(source, sourceBytes, last);
        }
        if (fixedBits <= dynamicBits) {
            useFixedCodes();
            out.put(BLOCK_FIXED << 1 | (last ? 1 : 0), TYPE_BITS);
        } else {
            out.put(BLOCK_DYNAMIC << 1 | (last ? 1 : 0), TYPE_BITS);
            codeLengths.write(out);
        }
        prepareEntries();
        writeSequences(sequences, number, source);
        out.put(literalCode.codes[END_OF_BLOCK] & 0xffff, literalCode.bits[END_OF_BLOCK]);
        return true;
    }

    /** Ends the last byte; how many there are. */
    int finish() {
        return out.finish();
    }

    private static long extraBits(SymbolCounts counts) {
        long sum = 0;
        for (int i = 0; i < LENGTH_CODES; i++) {
            sum += (long) counts.literals[FIRST_LENGTH_CODE + i] * LENGTH_EXTRA_BITS[i];
        }
        for (int i = 0; i < DISTANCE_CODES; i++) {
            sum += (long) counts.distances[i] * DISTANCE_EXTRA_BITS[i];
        }
        return sum;
    }

    private long dynamicBits(SymbolCounts counts) {
        long sum = 0;
        for (int i = 0; i < LITERAL_CODES_USED; i++) {
            sum += (long) counts.literals[i] * literalCode.bits[i];
        }
        for (int i = 0; i < DISTANCE_CODES; i++) {
            sum += (long) counts.distances[i] * distanceCode.bits[i];
        }
        return sum;
    }

    private static long fixedBits(SymbolCounts counts) {
        long sum = 0;
        for (int i = 0; i < LITERAL_CODES_USED; i++) {
            sum += (long) counts.literals[i] * fixedLiteralBits(i);
        }
        for (int i = 0; i < DISTANCE_CODES; i++) {
            sum += (long) counts.distances[i] * FIXED_DISTANCE_BITS;
        }
        return sum;
    }

    /** Blocks of up to 65535 bytes; the three bits of each are followed by what fills up the byte. */
    private boolean writeStored(long source, int sourceBytes, boolean last) {
        int done = 0;
        do {
            int part = Math.min(sourceBytes - done, DeflateStored.BLOCK_BYTES_MAX);
            out.put(last && done + part == sourceBytes ? 1 : 0, TYPE_BITS);
            long at = out.align();
            NativeMemory.putInt(at, part | ~part << 16);
            NativeMemory.copy(source + done, at + 4, part);
            out.skip(4 + part);
            done += part;
        } while (done < sourceBytes);
        return true;
    }

    private void useFixedCodes() {
        for (int i = 0; i < LITERAL_CODES; i++) {
            literalCode.bits[i] = (byte) fixedLiteralBits(i);
        }
        literalCode.assignCodes();
        for (int i = 0; i < DISTANCE_CODES; i++) {
            distanceCode.bits[i] = FIXED_DISTANCE_BITS;
        }
        distanceCode.assignCodes();
    }

    private void prepareEntries() {
        for (int i = 0; i < 256; i++) {
            literalBits[i] = (literalCode.codes[i] & 0xffff) | literalCode.bits[i] << 24;
        }
        for (int length = LENGTH_MIN; length <= LENGTH_MAX; length++) {
            int slot = LENGTH_SLOT[length];
            int bits = literalCode.bits[FIRST_LENGTH_CODE + slot];
            int code = literalCode.codes[FIRST_LENGTH_CODE + slot] & 0xffff;
            lengthBits[length] = code | (length - LENGTH_BASE[slot]) << bits | (bits + LENGTH_EXTRA_BITS[slot]) << 24;
        }
    }

    private void writeSequences(DeflateSequences sequences, int number, long source) {
        long from = source;
        for (int i = 0; i < number; i++) {
            int run = sequences.literalRuns[i];
            if (run != 0) {
                writeLiterals(from, run);
                from += run;
            }
            int match = sequences.matches[i];
            if (match != 0) {
                writeMatch(match >>> 16, match & 0xffff);
                from += match >>> 16;
            }
        }
    }

    private void writeLiterals(long source, int run) {
        long address = out.address();
        long pending = out.pending();
        int bits = out.pendingBits();
        long from = source;
        for (int left = run; left > 0; left--) {
            int entry = literalBits[NativeMemory.getByte(from++) & 0xff];
            pending |= (long) (entry & 0xffffff) << bits;
            bits += entry >>> 24;
            if (bits >= 48) { // Another code has its 15 bits.
                NativeMemory.putLong(address, pending);
                address += bits >>> 3;
                pending >>>= bits & ~7;
                bits &= 7;
            }
        }
        NativeMemory.putLong(address, pending);
        address += bits >>> 3;
        pending >>>= bits & ~7;
        out.set(address, pending, bits & 7);
    }

    /** At most 20 bits of length and 28 of distance. */
    private void writeMatch(int length, int distance) {
        int entry = lengthBits[length];
        int bits = entry >>> 24;
        int slot = distanceSlot(distance);
        long value = (entry & 0xffffff) | (long) (distanceCode.codes[slot] & 0xffff) << bits;
        bits += distanceCode.bits[slot];
        value |= (long) (distance - DISTANCE_BASE[slot]) << bits;
        out.put(value, bits + DISTANCE_EXTRA_BITS[slot]);
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import dev.vublk.blockdev.codec.CodecBuffer;
import dev.vublk.blockdev.codec.ZeroScan;
import dev.vublk.blockdev.linux.NativeMemory;
import java.nio.ByteBuffer;
import java.util.Arrays;

/**
 * A piece of a disk on its way from source to target: where it is, its bytes, and what is known of each of its runs. Belongs to
 * one thread at a time.
 *
 * <p>A piece that has no data may be longer than the buffer.
 */
final class Chunk implements AutoCloseable {
    /** What a run of bytes is. */
    enum Kind {
        /** Its bytes are in the buffer. */
        DATA,
        /** It reads as zeroes; the buffer's bytes mean nothing. */
        ZERO,
        /** The target has it already, in its backing file. */
        SAME
    }

    private CodecBuffer buffer;
    private final boolean ownsBuffer;

    private long offsetBytes;
    private long lengthBytes;

    /** Runs follow each other without gaps; ends are relative to the chunk's beginning. */
    private long[] ends = new long[16];

    private Kind[] kinds = new Kind[16];
    private int runCount;

    /** The other pair of arrays, for {@link #findZeroes}. */
    private long[] spareEnds = new long[16];

    private Kind[] spareKinds = new Kind[16];

    /** With a buffer of its own. */
    Chunk(int capacityBytes) {
        buffer = new CodecBuffer(capacityBytes);
        ownsBuffer = true;
    }

    /** With a buffer of somebody else, which {@link #use} may change. */
    Chunk(CodecBuffer buffer) {
        this.buffer = buffer;
        ownsBuffer = false;
    }

    /** Bytes are in this buffer from now on. */
    void use(CodecBuffer other) {
        buffer = other;
    }

    /** Begins a new piece, without runs. */
    void begin(long newOffsetBytes) {
        offsetBytes = newOffsetBytes;
        lengthBytes = 0;
        runCount = 0;
    }

    /** Adds a run behind those that are there. */
    void add(Kind kind, long runBytes) {
        if (runBytes <= 0) {
            return;
        }
        lengthBytes += runBytes;
        if (runCount > 0 && kinds[runCount - 1] == kind) {
            ends[runCount - 1] = lengthBytes;
            return;
        }
        if (runCount == ends.length) {
            ends = Arrays.copyOf(ends, 2 * runCount);
            kinds = Arrays.copyOf(kinds, 2 * runCount);
        }
        ends[runCount] = lengthBytes;
        kinds[runCount++] = kind;
    }

    /**
     * Looks for zeroes in the data, in units that are aligned on the disk; what is known to be zero is not looked at again.
     *
     * @param unitBytes a power of two; the chunk begins at a multiple of it
     */
    void findZeroes(int unitBytes) {
        long[] oldEnds = ends;
        Kind[] oldKinds = kinds;
        int oldCount = runCount;
        ends = spareEnds;
        kinds = spareKinds;
        spareEnds = oldEnds;
        spareKinds = oldKinds;
        lengthBytes = 0;
        runCount = 0;
        long start = 0;
        for (int i = 0; i < oldCount; i++) {
            long end = oldEnds[i];
            if (oldKinds[i] == Kind.DATA) {
                addScanned(start, end, unitBytes);
            } else {
                add(oldKinds[i], end - start);
            }
            start = end;
        }
    }

    /**
     * Zeroes those parts of the buffer that read as zeroes and share a unit with data, and what is between the chunk's end and the
     * end of its last unit: units with data can then be taken as a whole.
     *
     * @param unitBytes a power of two; the chunk begins at a multiple of it, and its buffer has room for whole units
     */
    void zeroPartsOfUnits(int unitBytes) {
        for (int i = 0; i < runCount; i++) {
            if (kinds[i] != Kind.DATA) {
                long start = runStart(i);
                long end = i + 1 == runCount ? roundUp(ends[i], unitBytes) : ends[i];
                long firstUnitEnd = Math.min(end, roundUp(start, unitBytes));
                long lastUnitStart = Math.max(firstUnitEnd, end & -unitBytes);
                NativeMemory.zero(address(start), firstUnitEnd - start);
                NativeMemory.zero(address(lastUnitStart), end - lastUnitStart);
            }
        }
        zeroTail(unitBytes);
    }

    /** Zeroes what is between the end of data at the chunk's end and the end of its last unit. */
    void zeroTail(int unitBytes) {
        if (runCount > 0 && kinds[runCount - 1] == Kind.DATA) {
            NativeMemory.zero(address(lengthBytes), roundUp(lengthBytes, unitBytes) - lengthBytes);
        }
    }

    private static long roundUp(long value, int unitBytes) {
        return (value + unitBytes - 1) & -unitBytes;
    }

    /** Takes another chunk's runs, which are of the same length; that one then has this one's. */
    void takeRuns(Chunk other) {
        if (other.lengthBytes != lengthBytes) {
            throw new IllegalArgumentException("runs of " + other.lengthBytes + " bytes for " + lengthBytes);
        }
        long[] oldEnds = ends;
        Kind[] oldKinds = kinds;
        int oldCount = runCount;
        ends = other.ends;
        kinds = other.kinds;
        runCount = other.runCount;
        other.ends = oldEnds;
        other.kinds = oldKinds;
        other.runCount = oldCount;
    }

    private void addScanned(long start, long end, int unitBytes) {
        long at = start;
        while (at < end) {
            long next = Math.min(end, (at & -unitBytes) + unitBytes);
            boolean zero = ZeroScan.isZero(address(at), (int) (next - at));
            add(zero ? Kind.ZERO : Kind.DATA, next - at);
            at = next;
        }
    }

    /** Where on the disk it begins. */
    long offsetBytes() {
        return offsetBytes;
    }

    long lengthBytes() {
        return lengthBytes;
    }

    long endBytes() {
        return offsetBytes + lengthBytes;
    }

    /**
     * What a unit is as a whole: data if any part of it is.
     *
     * @param start a multiple of {@code unitBytes} within the chunk
     */
    Kind unitKind(long start, int unitBytes) {
        int run = runAt(start);
        long end = Math.min(lengthBytes, start + unitBytes);
        Kind kind = kinds[run];
        while (ends[run] < end) {
            run++;
            kind = kinds[run] == Kind.DATA ? Kind.DATA : kind;
        }
        return kind;
    }

    /** Where units end that are of one kind, from {@code start} on, which is such a unit's beginning. */
    long unitsEnd(long start, int unitBytes, Kind kind) {
        long end = start;
        while (end < lengthBytes && unitKind(end, unitBytes) == kind) {
            long runEnd = ends[runAt(end)];
            // Whole units of a long run need no look of their own.
            end = Math.max(end + unitBytes, runEnd & -unitBytes);
        }
        return Math.min(end, lengthBytes);
    }

    /** The run that has the byte at {@code relativeBytes}. */
    private int runAt(long relativeBytes) {
        int low = 0;
        int high = runCount - 1;
        while (low < high) {
            int middle = (low + high) >>> 1;
            if (ends[middle] <= relativeBytes) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        return low;
    }

    int runCount() {
        return runCount;
    }

    /** Where run {@code i} begins, from the chunk's beginning. */
    long runStart(int i) {
        return i == 0 ? 0 : ends[i - 1];
    }

    long runEnd(int i) {
        return ends[i];
    }

    Kind kind(int i) {
        return kinds[i];
    }

    boolean hasData() {
        for (int i = 0; i < runCount; i++) {
            if (kinds[i] == Kind.DATA) {
                return true;
            }
        }
        return false;
    }

    /** Where the byte at {@code relativeBytes} from the chunk's beginning is. */
    long address(long relativeBytes) {
        return buffer.address() + relativeBytes;
    }

    /** Where its bytes are, for codecs. */
    CodecBuffer buffer() {
        return buffer;
    }

    /** Bytes of the buffer, for channels. */
    ByteBuffer bytes(long relativeBytes, int length) {
        return NativeMemory.asByteBuffer(address(relativeBytes), length);
    }

    @Override
    public void close() {
        if (ownsBuffer) {
            buffer.close();
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.testing;

import dev.vublk.blockdev.linux.Iovec;
import dev.vublk.blockdev.linux.NativeMemory;
import java.util.Random;

/** A vector of buffers in native memory, of chosen or random shape. One thread's. */
public final class TestVector implements AutoCloseable {
    private final long memory;
    private final long iov;
    private final int[] lengths;
    private final long[] bases;
    private final int lengthBytes;

    private TestVector(int[] lengths, int[] gaps) {
        this.lengths = lengths;
        this.bases = new long[lengths.length];
        long total = 0;
        int data = 0;
        for (int i = 0; i < lengths.length; i++) {
            total += gaps[i] + lengths[i];
            data += lengths[i];
        }
        this.lengthBytes = data;
        this.memory = NativeMemory.allocateZeroed(total + 1);
        this.iov = NativeMemory.allocateZeroed((long) lengths.length * Iovec.SIZE_BYTES);
        long address = memory;
        for (int i = 0; i < lengths.length; i++) {
            address += gaps[i];
            bases[i] = address;
            address += lengths[i];
            Iovec.set(iov + (long) i * Iovec.SIZE_BYTES, bases[i], lengths[i]);
        }
    }

    /** Buffers of these lengths, one behind the other from a page boundary on. */
    public static TestVector of(int... lengths) {
        return new TestVector(lengths, new int[lengths.length]);
    }

    /** The same, the first one {@code skewBytes} behind a page boundary. */
    public static TestVector skewed(int skewBytes, int... lengths) {
        int[] gaps = new int[lengths.length];
        gaps[0] = skewBytes;
        return new TestVector(lengths, gaps);
    }

    /** Random buffers of {@code lengthBytes} in all: plain, odd, empty, many. */
    public static TestVector random(Random random, int lengthBytes) {
        int unit = new int[] {1, 4, 512, 4096}[random.nextInt(4)];
        int count = random.nextInt(10) == 0 ? 1025 + random.nextInt(500) : 1 + random.nextInt(8);
        int[] lengths = new int[count];
        int[] gaps = new int[count];
        int left = lengthBytes;
        for (int i = 0; i < count; i++) {
            int length = random.nextInt(6) == 0 ? 0 : random.nextInt(2 * lengthBytes / count + 1) / unit * unit;
            lengths[i] = i == count - 1 ? left : Math.min(left, length);
            left -= lengths[i];
            gaps[i] = random.nextInt(3) * unit;
        }
        return new TestVector(lengths, gaps);
    }

    /** Calls must leave the vector as it was. */
    void checkUnchanged() {
        for (int i = 0; i < lengths.length; i++) {
            long entry = iov + (long) i * Iovec.SIZE_BYTES;
            if (Iovec.base(entry) != bases[i] || Iovec.length(entry) != lengths[i]) {
                throw new AssertionError("a call left entry " + i + " of " + lengths.length + " changed");
            }
        }
    }

    public TestVector put(byte[] data) {
        int done = 0;
        for (int i = 0; i < lengths.length; i++) {
            NativeMemory.put(data, done, bases[i], lengths[i]);
            done += lengths[i];
        }
        return this;
    }

    public byte[] get() {
        byte[] data = new byte[lengthBytes];
        int done = 0;
        for (int i = 0; i < lengths.length; i++) {
            NativeMemory.get(bases[i], data, done, lengths[i]);
            done += lengths[i];
        }
        return data;
    }

    public long iov() {
        return iov;
    }

    public int count() {
        return lengths.length;
    }

    public int lengthBytes() {
        return lengthBytes;
    }

    @Override
    public void close() {
        NativeMemory.free(memory);
        NativeMemory.free(iov);
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

/** Random numbers in two multiplications (SplitMix64), without the locks and checks of a library's. One thread. */
final class RandomSequence {
    /** 2^64 divided by the golden ratio, odd: the step of SplitMix64. */
    private static final long STEP = 0x9E3779B97F4A7C15L;

    private long state;

    RandomSequence(long seed) {
        state = mix(seed);
    }

    long next() {
        state += STEP;
        return mix(state);
    }

    /** A number from 0 to {@code bound - 1}. */
    long next(long bound) {
        return Math.unsignedMultiplyHigh(next(), bound);
    }

    /** Spreads a number over all 64 bits. */
    static long mix(long value) {
        long z = (value ^ (value >>> 30)) * 0xBF58476D1CE4E5B9L;
        z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
        return z ^ (z >>> 31);
    }
}

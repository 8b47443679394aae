// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.codec;

import java.util.Arrays;

/** How often each symbol occurs in a part of a deflate stream. Belongs to one thread. */
final class SymbolCounts {
    /** n log2 n of small counts; a larger table would only push other things out of the cache. */
    private static final float[] N_LOG_N = new float[1024];

    /** A header's counts and the lengths of its precode, roughly. */
    private static final int HEADER_BITS = 60;

    /** What a length takes in the header, roughly. */
    private static final float BITS_PER_CODE = 3;

    static {
        for (int n = 1; n < N_LOG_N.length; n++) {
            N_LOG_N[n] = (float) exactNLogN(n);
        }
    }

    final int[] literals = new int[DeflateFormat.LITERAL_CODES];
    final int[] distances = new int[DeflateFormat.DISTANCE_CODES];

    void clear() {
        Arrays.fill(literals, 0);
        Arrays.fill(distances, 0);
    }

    void set(SymbolCounts other) {
        System.arraycopy(other.literals, 0, literals, 0, literals.length);
        System.arraycopy(other.distances, 0, distances, 0, distances.length);
    }

    void add(SymbolCounts other) {
        for (int i = 0; i < literals.length; i++) {
            literals[i] += other.literals[i];
        }
        for (int i = 0; i < distances.length; i++) {
            distances[i] += other.distances[i];
        }
    }

    /** About how many bits a block of these takes, header included but without extra bits, by the entropy. */
    float estimatedBits() {
        return HEADER_BITS + estimate(literals) + estimate(distances);
    }

    private static float estimate(int[] counts) {
        float sum = 0;
        int total = 0;
        int used = 0;
        for (int count : counts) {
            sum += nLogN(count);
            total += count;
            used += Math.min(count, 1);
        }
        return nLogN(total) - sum + BITS_PER_CODE * used;
    }

    private static float nLogN(int n) {
        return n < N_LOG_N.length ? N_LOG_N[n] : (float) exactNLogN(n);
    }

    private static double exactNLogN(int n) {
        return n * (Math.log(n) / Math.log(2));
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

/** Some runs of clusters that are about to be freed together. Used by one caller at a time, again and again. */
final class FreedRuns {
    private static final int RUN_MAX = 256;

    private final long[] clusters = new long[RUN_MAX];
    private final long[] counts = new long[RUN_MAX];
    private final boolean[] discarded = new boolean[RUN_MAX];
    private int size;

    void clear() {
        size = 0;
    }

    boolean isFull() {
        return size == RUN_MAX;
    }

    int size() {
        return size;
    }

    long cluster(int index) {
        return clusters[index];
    }

    long count(int index) {
        return counts[index];
    }

    /** Whether the host is to get the space back. */
    boolean isDiscarded(int index) {
        return discarded[index];
    }

    void add(long cluster, long count, boolean discard) {
        clusters[size] = cluster;
        counts[size] = count;
        discarded[size++] = discard;
    }

    /** Puts the runs into the order of the file; there are few, and they mostly are in order. */
    void sort() {
        for (int i = 1; i < size; i++) {
            long cluster = clusters[i];
            long count = counts[i];
            boolean discard = discarded[i];
            int at = i;
            while (at > 0 && clusters[at - 1] > cluster) {
                clusters[at] = clusters[at - 1];
                counts[at] = counts[at - 1];
                discarded[at] = discarded[at - 1];
                at--;
            }
            clusters[at] = cluster;
            counts[at] = count;
            discarded[at] = discard;
        }
    }
}

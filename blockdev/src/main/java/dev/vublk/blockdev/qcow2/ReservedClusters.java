// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

/** Runs of clusters that are counted already and wait for their use, in the order of the file. Thread-safe; never waits. */
final class ReservedClusters {
    /** Runs of one reservation at most. Arbitrary. */
    static final int RUN_MAX = 64;

    // All guarded by this.
    private final long[] clusters = new long[RUN_MAX];
    private final long[] counts = new long[RUN_MAX];
    private int runCount;

    /** Takes {@code wanted} clusters that follow each other, or the longest run if none is so long; false when nothing is left. */
    synchronized boolean take(long wanted, ClusterRun out) {
        int longest = -1;
        for (int i = 0; i < runCount; i++) {
            if (counts[i] >= wanted) {
                longest = i;
                break;
            }
            if (longest < 0 || counts[i] > counts[longest]) {
                longest = i;
            }
        }
        if (longest < 0) {
            return false;
        }
        out.cluster = clusters[longest];
        out.count = Math.min(wanted, counts[longest]);
        clusters[longest] += out.count;
        counts[longest] -= out.count;
        if (counts[longest] == 0) {
            remove(longest);
        }
        return true;
    }

    private void remove(int index) {
        runCount--;
        System.arraycopy(clusters, index + 1, clusters, index, runCount - index);
        System.arraycopy(counts, index + 1, counts, index, runCount - index);
    }

    synchronized boolean isEmpty() {
        return runCount == 0;
    }

    /** Adds runs to an empty reserve. */
    synchronized void fill(long[] newClusters, long[] newCounts, int newRunCount) {
        System.arraycopy(newClusters, 0, clusters, 0, newRunCount);
        System.arraycopy(newCounts, 0, counts, 0, newRunCount);
        runCount = newRunCount;
    }
}

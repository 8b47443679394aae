// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import java.util.Arrays;

/**
 * Clusters that no entry in memory or in the file names any more, on their way to be free, in the order in which they came.
 * Thread-safe; never waits.
 *
 * <p>Two things must happen first: a flush, for after a power cut the old entry would else be back; and the end of every request
 * that was under way, for it may have looked the cluster up before.
 */
final class FreedClusters {
    private final RequestEpochs epochs;

    // A queue; all guarded by this. Sequence numbers count what ever came.
    private long[] clusters = new long[64];
    private long[] counts = new long[64];
    private long[] unlinkedIn = new long[64];
    private boolean[] discards = new boolean[64];
    private long firstSequence;
    private long nextSequence;
    private long stableSequence;

    private volatile long clusterCount;

    FreedClusters(RequestEpochs epochs) {
        this.epochs = epochs;
    }

    /** How many clusters wait. */
    long clusterCount() {
        return clusterCount;
    }

    /** The entry that named these clusters was changed and written. */
    synchronized void add(long cluster, long count, boolean discard) {
        clusterCount = clusterCount + count;
        long now = epochs.now();
        int last = slot(nextSequence - 1);
        if (nextSequence > Math.max(firstSequence, stableSequence)
                && clusters[last] + counts[last] == cluster
                && discards[last] == discard
                && isUnmarked) {
            counts[last] += count;
            unlinkedIn[last] = now;
            return;
        }
        if (nextSequence - firstSequence == clusters.length) {
            grow();
        }
        int slot = slot(nextSequence++);
        clusters[slot] = cluster;
        counts[slot] = count;
        discards[slot] = discard;
        unlinkedIn[slot] = now;
        isUnmarked = true;
    }

    /** Whether nobody has begun a flush since the last one came: only then may it be extended. */
    private boolean isUnmarked;

    /** A flush begins: what came before this call is stable when it has ended well. */
    synchronized long mark() {
        isUnmarked = false;
        return nextSequence;
    }

    /** The flush that began with {@code mark} has ended well. */
    synchronized void stable(long mark) {
        stableSequence = Math.max(stableSequence, mark);
    }

    /** Adds the oldest ones to {@code out}, if they are stable and unused. */
    synchronized boolean poll(FreedRuns out) {
        if (firstSequence >= stableSequence) {
            return false;
        }
        int slot = slot(firstSequence);
        if (!epochs.isOver(unlinkedIn[slot])) {
            return false;
        }
        out.add(clusters[slot], counts[slot], discards[slot]);
        firstSequence++;
        clusterCount = clusterCount - counts[slot];
        return true;
    }

    private int slot(long sequence) {
        return (int) sequence & (clusters.length - 1);
    }

    private void grow() {
        int length = clusters.length;
        long[] oldClusters = clusters;
        long[] oldCounts = counts;
        long[] oldUnlinkedIn = unlinkedIn;
        boolean[] oldDiscards = discards;
        clusters = Arrays.copyOf(clusters, 2 * length);
        counts = new long[2 * length];
        unlinkedIn = new long[2 * length];
        discards = new boolean[2 * length];
        for (long sequence = firstSequence; sequence < nextSequence; sequence++) {
            int from = (int) sequence & (length - 1);
            int to = slot(sequence);
            clusters[to] = oldClusters[from];
            counts[to] = oldCounts[from];
            unlinkedIn[to] = oldUnlinkedIn[from];
            discards[to] = oldDiscards[from];
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import dev.vublk.blockdev.LateLogger;
import dev.vublk.blockdev.file.RangeLock;
import dev.vublk.blockdev.linux.Errno;

/**
 * Hands out clusters of the file. Thread-safe.
 *
 * <p>Clusters are reserved in batches: their refcounts are raised, what they held before is zeroed, the file is made long enough,
 * and all that is made stable at once. Only then are they handed out, so whoever gets one may let a table name it without any
 * further barrier, and what it does not write there reads as zeroes. A crash leaves what was reserved and not used as a leak.
 *
 * <p>One caller at a time changes refcounts; who comes meanwhile waits, and mostly finds what it needs reserved then.
 */
final class ClusterAllocator implements AutoCloseable {
    private static final LateLogger LOG = new LateLogger(ClusterAllocator.class);

    /** The first batch, and what the batches grow to by doubling: small images do not leak much, large ones seldom wait. */
    private static final long FIRST_BATCH_BYTES = 1 << 20;

    private static final long LAST_BATCH_BYTES = 64 << 20;

    /** The file grows by an eighth, within these bounds: each time costs a flush, and the new part costs no space. Arbitrary. */
    private static final long GROWTH_MAX_BYTES = 1L << 30;

    private final String image;
    private final int clusterBits;
    private final boolean fixedSize;
    private final long clusterMax;
    private final RefcountTable refcounts;
    private final MetadataClusters metadata;
    private final HeaderUpdate header;
    private final ImageCorruption corruption;
    private final ReservedClusters reserved = new ReservedClusters();
    private final RangeLock turn = new RangeLock();

    // All guarded by the turn.
    private final long[] runClusters = new long[ReservedClusters.RUN_MAX];
    private final long[] runCounts = new long[ReservedClusters.RUN_MAX];
    private int runCount;
    private long batchBytes = FIRST_BATCH_BYTES;
    /** No cluster before this one is free. */
    private long searchFrom;
    /** Where the file ends. */
    private long fileEnd;
    /** Behind it nothing was ever reserved: what the file has there was put there by lengthening it. */
    private long usedEnd;

    /** Whether an image that is not closed is going to be repaired, so that its refcounts need not be stable. */
    private volatile boolean lazy;

    ClusterAllocator(
            String image,
            Qcow2Header imageHeader,
            RefcountTable refcounts,
            MetadataClusters metadata,
            HeaderUpdate header,
            ImageCorruption corruption,
            long fileBytes,
            boolean fixedSize) {
        this.image = image;
        this.clusterBits = imageHeader.clusterBits();
        this.fixedSize = fixedSize;
        this.clusterMax = (fixedSize ? fileBytes : Qcow2Layout.FILE_OFFSET_MAX) >>> clusterBits;
        this.refcounts = refcounts;
        this.metadata = metadata;
        this.header = header;
        this.corruption = corruption;
        this.fileEnd = Math.ceilDiv(fileBytes, 1L << clusterBits);
        this.usedEnd = fixedSize ? 0 : fileEnd; // Of a device only the refcounts tell how far it is used.
    }

    /** The header says that refcounts may be wrong. */
    void useLazyRefcounts() {
        lazy = true;
    }

    /**
     * Takes up to {@code wanted} clusters that follow each other; they read as zeroes. Their user may let a table name them.
     *
     * @return 0, or a negative errno; then {@code out} is undefined
     */
    int allocate(MetadataFile file, long wanted, ClusterRun out) {
        while (!reserved.take(wanted, out)) {
            int result = refill(file, wanted);
            if (result < 0) {
                return result;
            }
        }
        return 0;
    }

    private int refill(MetadataFile file, long wanted) {
        RangeLock.Range range = turn.acquire(file.queue(), 0, 1, true);
        try {
            return reserved.isEmpty() ? reserve(file, wanted) : 0;
        } finally {
            turn.release(range);
        }
    }

    private int reserve(MetadataFile file, long wanted) {
        if (refcounts.isUncertain()) {
            return -Errno.EIO;
        }
        long batch = Math.max(wanted, batchBytes >>> clusterBits);
        int result = findRuns(file, batch);
        if (result < 0) {
            return result;
        }
        for (int i = 0; i < runCount; i++) {
            if (metadata.containsAny(runClusters[i], runCounts[i])) {
                return corruption.found(
                        file, "cluster " + runClusters[i] + " counts as free, but it or one behind it holds metadata");
            }
        }
        result = count(file);
        if (result < 0) {
            return result;
        }
        searchFrom = runClusters[runCount - 1] + runCounts[runCount - 1];
        usedEnd = Math.max(usedEnd, searchFrom);
        batchBytes = Math.min(2 * batchBytes, LAST_BATCH_BYTES);
        reserved.fill(runClusters, runCounts, runCount);
        return 0;
    }

    /** Finds free clusters that one block counts: not all that lie side by side, but the first ones. */
    private int findRuns(MetadataFile file, long batch) {
        runCount = 0;
        long at = searchFrom;
        while (true) {
            long found = refcounts.nextFree(file, at);
            if (found >= 0) {
                return collectRuns(file, found, batch);
            }
            if (found != RefcountTable.NONE) {
                return (int) found;
            }
            if (refcounts.hasBlock(at)) {
                at = refcounts.blockEnd(at);
            } else if (at < usedEnd) {
                at = Math.min(refcounts.blockEnd(at), usedEnd); // Not counted, so not ours.
            } else {
                int result = extendRefcounts(file, at);
                if (result < 0) {
                    return result;
                }
            }
        }
    }

    private int collectRuns(MetadataFile file, long firstFree, long batch) {
        long end = Math.min(refcounts.blockEnd(firstFree), clusterMax);
        long left = batch;
        long at = firstFree;
        while (at >= 0 && at < end && left > 0 && runCount < ReservedClusters.RUN_MAX) {
            long run = refcounts.freeRun(file, at, Math.min(left, end - at));
            if (run < 0) {
                return (int) run;
            }
            runClusters[runCount] = at;
            runCounts[runCount++] = run;
            left -= run;
            at = at + run < end ? refcounts.nextFree(file, at + run) : RefcountTable.NONE;
        }
        return runCount == 0 ? -Errno.ENOSPC : 0;
    }

    /** Makes the block that counts {@code cluster}, at or behind the end of the file; the table may have to move for it. */
    private int extendRefcounts(MetadataFile file, long cluster) {
        if (cluster >= clusterMax) {
            return -Errno.ENOSPC;
        }
        if (metadata.containsAny(cluster, refcounts.reaches(cluster) ? 1 : refcounts.growthClusters(cluster))) {
            return corruption.found(
                    file, "cluster " + cluster + " is not used yet, but it or one behind it is a table");
        }
        int result =
                refcounts.reaches(cluster) ? refcounts.addBlock(file, cluster) : refcounts.grow(file, cluster, header);
        fileEnd = Math.max(fileEnd, Math.ceilDiv(file.sizeBytes(), 1L << clusterBits));
        if (result == 0) {
            usedEnd = Math.max(Math.max(usedEnd, cluster + 1), refcounts.tableEnd());
        }
        return result;
    }

    /** Makes the runs ready: zeroed, inside the file, counted, and all that stable. */
    private int count(MetadataFile file) {
        boolean flushed = runCount > 1 && !lazy;
        long end = runClusters[runCount - 1] + runCounts[runCount - 1];
        for (int i = 0; i < runCount && runClusters[i] < fileEnd; i++) {
            long used = Math.min(runCounts[i], fileEnd - runClusters[i]);
            int result = file.writeZeroes(runClusters[i] << clusterBits, used << clusterBits);
            if (result < 0) {
                return result;
            }
            flushed = true;
        }
        if (end > fileEnd) {
            int result = lengthen(file, end);
            if (result < 0) {
                return result;
            }
            flushed = true;
        }
        for (int i = 0; i < runCount; i++) {
            int result = refcounts.change(file, runClusters[i], runCounts[i], 1, !flushed && !lazy);
            if (result < 0) {
                uncount(file, i);
                return result;
            }
        }
        int result = flushed ? file.flush() : 0;
        if (result < 0) {
            uncount(file, runCount);
        }
        return result;
    }

    private int lengthen(MetadataFile file, long end) {
        if (fixedSize) {
            return -Errno.ENOSPC;
        }
        long ahead = Math.clamp((end << clusterBits) / 8, batchBytes, GROWTH_MAX_BYTES) >>> clusterBits;
        int result = file.truncate((end + ahead) << clusterBits);
        if (result < 0) {
            result = file.truncate(end << clusterBits); // As far as a limit of the file's size permits.
        } else {
            end += ahead;
        }
        if (result == 0) {
            fileEnd = end;
        }
        return result;
    }

    private void uncount(MetadataFile file, int counted) {
        for (int i = 0; i < counted; i++) {
            lower(file, runClusters[i], runCounts[i]);
        }
    }

    /** Lowers refcounts; nobody names these clusters any more, so what goes wrong is a leak, and told to the log only. */
    private void lower(MetadataFile file, long cluster, long count) {
        int result = refcounts.change(file, cluster, count, -1, false);
        if (result < 0) {
            LOG.get()
                    .warn(
                            "{}: {} clusters from {} on could not be given back: {}",
                            image,
                            count,
                            cluster,
                            Errno.describe(result));
        }
    }

    /** Lowers by one the refcounts of clusters that no entry in the file names any more and no request uses. */
    void free(MetadataFile file, FreedRuns runs, boolean discards) {
        runs.sort();
        RangeLock.Range range = turn.acquire(file.queue(), 0, 1, true);
        try {
            for (int i = 0; i < runs.size(); i++) {
                if (metadata.containsAny(runs.cluster(i), runs.count(i))) {
                    corruption.found(
                            file, "an entry named cluster " + runs.cluster(i) + ", but it or one behind it is a table");
                    return;
                }
            }
            int result = refcounts.lower(file, runs);
            if (result < 0) {
                LOG.get().warn("{}: freed clusters could not all be given back: {}", image, Errno.describe(result));
            }
            for (int i = 0; i < runs.size(); i++) {
                searchFrom = Math.min(searchFrom, runs.cluster(i));
                if (discards && runs.isDiscarded(i)) {
                    discardFree(file, runs.cluster(i), runs.count(i));
                }
            }
        } finally {
            turn.release(range);
        }
    }

    /** Raises the refcounts of clusters by one: 0, {@code -EOVERFLOW}, or what the file said. */
    int share(MetadataFile file, long cluster, long count) {
        RangeLock.Range range = turn.acquire(file.queue(), 0, 1, true);
        try {
            return refcounts.change(file, cluster, count, 1, true);
        } finally {
            turn.release(range);
        }
    }

    private void discardFree(MetadataFile file, long cluster, long count) {
        long start = cluster;
        for (long at = cluster; at <= cluster + count; at++) {
            if (at == cluster + count || refcounts.get(file, at) != 0) {
                if (start < at) {
                    file.discard(start << clusterBits, (at - start) << clusterBits);
                }
                start = at + 1;
            }
        }
    }

    /** A cluster's refcount, or a negative errno. */
    long refcount(MetadataFile file, long cluster) {
        RangeLock.Range range = turn.acquire(file.queue(), 0, 1, true);
        try {
            return refcounts.get(file, cluster);
        } finally {
            turn.release(range);
        }
    }

    /**
     * Gives back what is reserved and not used, so that what is allocated next comes from the first free clusters again: the file
     * has space for those that were used before, and gets it back when they are reserved.
     */
    void restart(MetadataFile file) {
        RangeLock.Range range = turn.acquire(file.queue(), 0, 1, true);
        try {
            giveBack(file);
        } finally {
            turn.release(range);
        }
    }

    /** Gives back what is reserved and not used, and the end of the file that is not used. Nobody allocates meanwhile. */
    void release(MetadataFile file) {
        giveBack(file);
        if (usedEnd < fileEnd && !fixedSize && !refcounts.isUncertain() && file.truncate(usedEnd << clusterBits) == 0) {
            fileEnd = usedEnd;
        }
    }

    private void giveBack(MetadataFile file) {
        ClusterRun run = new ClusterRun();
        while (reserved.take(Long.MAX_VALUE, run)) {
            lower(file, run.cluster, run.count);
            searchFrom = Math.min(searchFrom, run.cluster);
            if (run.cluster + run.count == usedEnd) {
                usedEnd = run.cluster;
            }
        }
    }

    @Override
    public void close() {
        refcounts.close();
    }
}

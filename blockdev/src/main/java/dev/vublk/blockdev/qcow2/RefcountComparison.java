// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import java.io.IOException;

/** Holds the refcounts that a file has against those that it should have: tells the differences, or corrects them. One thread. */
final class RefcountComparison {
    /** What becomes of a difference. */
    private enum Action {
        TELL,
        RAISE,
        LOWER
    }

    private final StoredRefcounts stored;
    private final ReferenceCounts counts;
    private final CheckFindings findings;
    private final int order;
    private final int clusterBits;
    private final int blockClusters;
    private final long clusterCount;

    /** @param fileBytes length of the file */
    RefcountComparison(
            Qcow2Header header,
            StoredRefcounts stored,
            ReferenceCounts counts,
            CheckFindings findings,
            long fileBytes) {
        this.stored = stored;
        this.counts = counts;
        this.findings = findings;
        order = header.refcountOrder();
        clusterBits = header.clusterBits();
        blockClusters = 1 << header.refcountBlockBits();
        clusterCount = Math.max(-Math.floorDiv(-fileBytes, header.clusterBytes()), counts.end());
    }

    /** Tells every difference, and how far the image reaches. */
    void tell() throws IOException {
        run(Action.TELL);
    }

    /** Raises what is too low, where there is a block for it. Whether that is stable is the caller's affair. */
    void raise() throws IOException {
        run(Action.RAISE);
    }

    /** Lowers what is too high. */
    void lower() throws IOException {
        run(Action.LOWER);
    }

    private void run(Action action) throws IOException {
        for (int block = 0; block < stored.tableSize(); block++) {
            long first = (long) block << stored.blockBits();
            if (stored.blockOffset(block) == 0) {
                withoutBlock(first, first + blockClusters, action);
            } else if (first < clusterCount || !stored.isDistrusted(block)) {
                // Behind the end, a block that the table names a million times is not looked at a million times.
                withBlock(block, first, action);
            }
        }
        long covered = (long) stored.tableSize() << stored.blockBits();
        withoutBlock(covered, Math.max(covered, ReferenceCounts.CLUSTERS_MAX), action);
    }

    private void withoutBlock(long first, long end, Action action) {
        if (action != Action.TELL) {
            return;
        }
        for (long cluster = counts.nextCounted(first, end);
                cluster < end;
                cluster = counts.nextCounted(cluster + 1, end)) {
            findings.mustRebuild = true;
            findings.lowRefcount(cluster, 0, counts.count(cluster));
            reaches(cluster);
        }
    }

    private void withBlock(int block, long first, Action action) throws IOException {
        long address = stored.block(block);
        if (address == 0) {
            if (action == Action.TELL && first < clusterCount) {
                findings.cannotCheck(
                        "refcount block " + block + " cannot be read: the refcounts of its clusters are unknown",
                        Math.min(blockClusters, clusterCount - first));
            }
            return;
        }
        boolean changed = false;
        for (int i = 0; i < blockClusters; i++) {
            long cluster = first + i;
            if ((i & 7) == 0 && counts.isEightUnused(cluster) && RefcountEntries.areEightZero(address, order, i)) {
                i += 7;
                continue;
            }
            long refcount = RefcountEntries.get(address, order, i);
            long references = counts.count(cluster);
            switch (action) {
                case TELL -> tell(cluster, refcount, references);
                case RAISE, LOWER -> {
                    int compared = Long.compare(refcount, references);
                    if (action == Action.RAISE ? compared < 0 : compared > 0) {
                        RefcountEntries.set(address, order, i, references);
                        changed = true;
                    }
                }
            }
        }
        if (changed) {
            stored.writeBlock(block);
        }
    }

    private void tell(long cluster, long refcount, long references) {
        if (refcount != 0 || references != 0) {
            reaches(cluster);
        }
        int compared = Long.compare(refcount, references);
        if (compared < 0) {
            findings.lowRefcount(cluster, refcount, references);
        } else if (compared > 0) {
            findings.leak(cluster, refcount, references);
        } else if (references > 1 && counts.isMetadataOverlap(cluster)) {
            findings.error("cluster " + cluster + " is metadata, and something else");
        }
    }

    /** Refcounts that were raised ahead, behind the end of the file, are leaks but no part of the image. */
    private void reaches(long cluster) {
        if (cluster < clusterCount) {
            findings.imageEndOffset = Math.max(findings.imageEndOffset, (cluster + 1) << clusterBits);
        }
    }
}

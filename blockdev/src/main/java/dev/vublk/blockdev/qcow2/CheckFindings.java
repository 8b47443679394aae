// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import java.util.function.Consumer;

/** What a check has found so far: told as it is found, and counted. Used by one thread. */
final class CheckFindings {
    /** A damaged image can have millions of findings; who reads on has understood. Arbitrary. */
    private static final int TOLD_MAX = 1000;

    private final Consumer<String> listener;
    private int told;

    long checkErrors;
    long corruptions;
    long leaks;
    long allocatedClusters;
    long fragmentedClusters;
    long compressedClusters;
    long imageEndOffset;

    /**
     * Whether the refcounts cannot be corrected where they stand: a block is missing, or is not where it can be trusted.
     */
    boolean mustRebuild;

    /** How many flags of L1 or L2 entries are wrong; they are among the corruptions. */
    long wrongFlags;

    /** How many refcounts are smaller than they have to be; they are among the corruptions. */
    long lowRefcounts;

    CheckFindings(Consumer<String> listener) {
        this.listener = listener;
    }

    void error(String what) {
        corruptions++;
        tell("ERROR " + what);
    }

    void lowRefcount(long cluster, long refcount, long references) {
        lowRefcounts++;
        error("cluster " + cluster + " refcount=" + refcount + " reference=" + references);
    }

    /** Whether some entry names nothing that there can be: what it named once may look like a leak now. */
    boolean hasDamagedEntries() {
        return corruptions > wrongFlags + lowRefcounts;
    }

    void leak(long cluster, long refcount, long references) {
        leaks++;
        if (told < TOLD_MAX) {
            tell("Leaked cluster " + cluster + " refcount=" + refcount + " reference=" + references);
        }
    }

    void cannotCheck(String what, long count) {
        checkErrors += count;
        tell("ERROR " + what);
    }

    private void tell(String line) {
        if (told < TOLD_MAX) {
            listener.accept(line);
        } else if (told == TOLD_MAX) {
            listener.accept("further findings are only counted");
        }
        told++;
    }

    Qcow2CheckResult result(Qcow2Header header) {
        long totalClusters = -Math.floorDiv(-header.sizeBytes(), header.clusterBytes());
        return new Qcow2CheckResult(
                checkErrors,
                corruptions,
                leaks,
                0,
                0,
                totalClusters,
                allocatedClusters,
                fragmentedClusters,
                compressedClusters,
                imageEndOffset);
    }
}

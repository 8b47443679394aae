// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

/**
 * What a check of a qcow2 image found, counted as {@code qemu-img check} counts. A value; any thread.
 *
 * @param checkErrors how often something could not be checked
 * @param corruptions errors that can cost data
 * @param leaks clusters that nothing refers to, but that count as used: only space is lost
 * @param corruptionsFixed errors that were there before a repair
 * @param leaksFixed leaks that were there before a repair
 * @param totalClusters guest clusters of the disk
 * @param allocatedClusters those that have a cluster in the file
 * @param fragmentedClusters those that do not stand behind their predecessor
 * @param compressedClusters those that are compressed
 * @param imageEndOffset where the last used cluster ends
 */
public record Qcow2CheckResult(
        long checkErrors,
        long corruptions,
        long leaks,
        long corruptionsFixed,
        long leaksFixed,
        long totalClusters,
        long allocatedClusters,
        long fragmentedClusters,
        long compressedClusters,
        long imageEndOffset) {

    /** Whether everything could be checked, and nothing is wrong. */
    public boolean isClean() {
        return checkErrors == 0 && corruptions == 0 && leaks == 0;
    }

    /** Whether everything could be checked, and nothing is wrong that can cost data. */
    public boolean isConsistent() {
        return checkErrors == 0 && corruptions == 0;
    }

    /** The state after a repair, of an image that was in the state {@code before}. */
    Qcow2CheckResult repairedFrom(Qcow2CheckResult before) {
        return new Qcow2CheckResult(
                checkErrors,
                corruptions,
                leaks,
                Math.max(0, before.corruptions - corruptions),
                Math.max(0, before.leaks - leaks),
                totalClusters,
                allocatedClusters,
                fragmentedClusters,
                compressedClusters,
                imageEndOffset);
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev;

/**
 * The zones of a disk on one loop, beside its {@link BlockChannel}. Runs on its loop; calls wait as those do.
 *
 * <p>On a zoned disk these calls, reads and writes tell by errno what is against the rules of zones (the kernel's block
 * layer uses the same ones, but for the third, which it calls {@code EIO}):
 *
 * <pre>
 *   -ETOOMANYREFS   one open zone too many
 *   -EOVERFLOW      one active zone too many
 *   -ESPIPE         a write that does not begin at the write pointer, or is no multiple of the granularity
 *   -EINVAL         everything else: a conventional zone, a range in two zones, a state that forbids it …
 * </pre>
 */
public interface ZonedChannel {

    /** Does something with the zone that begins at {@code offsetBytes}: 0 or a negative errno. */
    int operate(ZoneOperation operation, long offsetBytes);

    /** Makes every sequential zone empty: 0 or a negative errno. */
    int resetAll();

    /**
     * As {@link BlockChannel#writev}, for a request that was in flight when an earlier life of this process ended, which may
     * have carried it out: where a sequential zone is written already and holds just this data, that is a success.
     */
    int writeAgain(long offsetBytes, long iovAddress, int iovCount, long lengthBytes, boolean fua);

    /**
     * Writes at the write pointer of the zone that begins at {@code zoneOffsetBytes}; the other parameters are those of
     * {@link BlockChannel#writev}.
     *
     * @return where the data went, or a negative errno
     */
    long append(long zoneOffsetBytes, long iovAddress, int iovCount, long lengthBytes, boolean fua);

    /**
     * Describes zones from the one that holds {@code offsetBytes} on, in the kernel's words ({@code linux/blkzoned.h}):
     * fills a {@code struct blk_zone_report} with room for {@code zonesMax} zones at {@code reportAddress}.
     *
     * @return how many zones were described, or a negative errno
     */
    int report(long offsetBytes, long reportAddress, int zonesMax);
}

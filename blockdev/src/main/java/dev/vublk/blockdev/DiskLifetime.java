// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev;

/**
 * How worn a device is, in the terms of eMMC (JESD84-B50), which virtio-blk speaks too. A value; any thread.
 *
 * @param preEndOfLife reserved blocks consumed: 0 not known, 1 less than 80 %, 2 at least 80 %, 3 at least 90 %
 * @param usedTypeA life used of SLC cells in steps of 10 %: 0 not known, 1 up to 10 %, … 10 up to 100 %, 11 more
 * @param usedTypeB the same of MLC cells
 */
public record DiskLifetime(int preEndOfLife, int usedTypeA, int usedTypeB) {
    public static final int PRE_END_OF_LIFE_MAX = 3;
    public static final int USED_MAX = 11;

    /** Nothing is known. */
    public static final DiskLifetime UNKNOWN = new DiskLifetime(0, 0, 0);

    /** Values that the standards reserve become "not known": a device may say anything. */
    public static DiskLifetime of(int preEndOfLife, int usedTypeA, int usedTypeB) {
        return new DiskLifetime(
                known(preEndOfLife, PRE_END_OF_LIFE_MAX), known(usedTypeA, USED_MAX), known(usedTypeB, USED_MAX));
    }

    private static int known(int value, int max) {
        return value < 0 || value > max ? 0 : value;
    }

    /** All three in one number that is never negative, 16 bits each, the first one lowest. */
    public long packed() {
        return preEndOfLife | (long) usedTypeA << 16 | (long) usedTypeB << 32;
    }

    /** What {@link #packed} made a number of. */
    public static DiskLifetime ofPacked(long packed) {
        return of((int) packed & 0xffff, (int) (packed >> 16) & 0xffff, (int) (packed >> 32) & 0xffff);
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

/**
 * Cylinders, heads and sectors a track: what partitioning tools and firmware of old ask for (virtio 1.2 section 5.2.4). A
 * value; any thread.
 *
 * @param cylinders 1 to 65535
 * @param heads 1 to 255
 * @param sectors sectors of 512 bytes on a track, 1 to 255
 */
public record DiskGeometry(int cylinders, int heads, int sectors) {
    private static final int SECTORS_PER_TRACK = 63;
    private static final int CYLINDERS_MAX = 0xffff;

    /** What the BIOS can address: its cylinder has 10 bits. */
    private static final int BIOS_CYLINDERS_MAX = 1024;

    /**
     * The usual LBA-assisted translation: tracks of 63 sectors, and the fewest of 16, 32, 64, 128 or 255 heads with which
     * the disk has no more than 1024 cylinders. Larger disks have more cylinders, as many as the field can tell.
     */
    public static DiskGeometry ofSize(long sizeBytes) {
        long tracks = sizeBytes / VirtioBlkSpec.SECTOR_BYTES / SECTORS_PER_TRACK;
        int heads = 16;
        while (heads < 255 && tracks / heads > BIOS_CYLINDERS_MAX) {
            heads = Math.min(2 * heads, 255);
        }
        return new DiskGeometry((int) Math.clamp(tracks / heads, 1L, CYLINDERS_MAX), heads, SECTORS_PER_TRACK);
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static dev.vublk.blockdev.qcow2.Qcow2Layout.*;

import java.io.IOException;

/** Which images' disks can have another size, and which size. */
public final class ResizeRules {
    private ResizeRules() {}

    /**
     * Refuses images in which something would no longer fit.
     *
     * @param image its name, for the message
     * @throws IOException the size cannot be changed: one line for the user
     */
    static void check(String image, Qcow2Header header, long newSizeBytes) throws IOException {
        if (header.snapshotCount() > 0 && header.version() == VERSION_2) {
            throw refused(image, "the snapshots of a version 2 image do not know their size: delete them first");
        }
        if (header.snapshotCount() > 0 && newSizeBytes < header.sizeBytes()) {
            throw refused(image, "has snapshots: delete them first");
        }
        if (header.bitmaps() != null) {
            throw refused(image, "has persistent bitmaps, which would no longer fit: remove them first");
        }
    }

    /**
     * How many L1 entries a disk of some size needs.
     *
     * @throws IOException more than the format has
     */
    static int l1Entries(String image, Qcow2Header header, long sizeBytes) throws IOException {
        long entries = Math.ceilDiv(sizeBytes, header.l1EntryCoverageBytes());
        if (entries > L1_MAX_BYTES / L1_ENTRY_BYTES) {
            throw refused(
                    image,
                    "a disk of " + sizeBytes + " bytes needs larger clusters than " + header.clusterBytes() + " bytes");
        }
        return (int) entries;
    }

    /**
     * Refuses to let a disk grow into what its backing file holds behind its present end.
     *
     * @throws IOException there is something: one line for the user
     */
    public static void checkBacking(String image, long presentBytes, long backingBytes) throws IOException {
        if (backingBytes > presentBytes) {
            throw new IOException(
                    image + ": its backing file is larger than the disk, and would be seen behind its end");
        }
    }

    static IOException refused(String image, String why) {
        return new IOException(image + ": qcow2: cannot be resized: " + why);
    }
}

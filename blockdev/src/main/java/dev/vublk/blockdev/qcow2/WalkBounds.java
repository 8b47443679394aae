// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import java.io.IOException;

/**
 * How much of an image a check reads before it gives up: tables of a sound image lie apart, so they take no more room than the
 * file has, and an L1 table names each L2 table once. A made-up image could name the same table again and again, and its check
 * would take hours for a file of a megabyte. What is named behind the end of the file reads as zeroes, and is not looked at. Used by
 * one thread.
 */
final class WalkBounds {
    /** Damage may have an image say that a table is as long as the file; nothing but made-up ones say so several times. */
    private static final int FILES_MAX = 4;

    /** Beyond as many tables as the file has clusters; arbitrary, some entries may be damaged. */
    private static final int SPARE_TABLES = 8;

    private final String name;
    private final long fileBytes;
    private final int clusterBytes;
    private final long clusterCount;
    private long tableClustersLeft;
    private long l2TablesLeft;

    WalkBounds(String name, long fileBytes, int clusterBytes) {
        this.name = name;
        this.fileBytes = fileBytes;
        this.clusterBytes = clusterBytes;
        clusterCount = clusters(fileBytes);
        tableClustersLeft = FILES_MAX * clusterCount;
    }

    private long clusters(long bytes) {
        return (bytes + clusterBytes - 1) / clusterBytes;
    }

    /**
     * An L1 or bitmap table is about to be read.
     *
     * @return how many bytes of it are in the file, in whole entries
     * @throws IOException there have been too many already: one line for the user
     */
    long enterTable(long offset, long lengthBytes) throws IOException {
        long present = Math.clamp(fileBytes - offset, 0, lengthBytes);
        tableClustersLeft -= clusters(present);
        if (tableClustersLeft < 0) {
            throw new IOException(name + ": qcow2: its tables overlap so often that it cannot be checked");
        }
        l2TablesLeft = clusterCount + SPARE_TABLES;
        return (present + Long.BYTES - 1) & -Long.BYTES;
    }

    /**
     * An L2 table that the last L1 table names is about to be read.
     *
     * @return whether any of it is in the file
     * @throws IOException the L1 table has named too many already: one line for the user
     */
    boolean enterL2Table(long offset) throws IOException {
        if (offset >= fileBytes) {
            return false;
        }
        if (--l2TablesLeft < 0) {
            throw new IOException(
                    name + ": qcow2: an L1 table names more L2 tables than there are, so that it cannot be checked");
        }
        return true;
    }
}

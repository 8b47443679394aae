// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import dev.vublk.blockdev.BlockOpenException;
import dev.vublk.blockdev.BlockOptions;

/**
 * How far a disk reaches, and how much of it is there. {@link #refresh} is called by one thread at a time, everything else
 * by every loop: a request reads one field, which costs what any field costs.
 *
 * <pre>
 *   sizeBytes      |------------- what guests were told; only grows --------------|
 *   presentBytes   |------------- requests may reach here ------------------------|    less in an image that has shrunk
 *   fileBytes      |------------- the file itself --------------------------|          less when its last unit is torn
 * </pre>
 */
final class DiskExtent {
    private final BlockOptions options;
    private final boolean blockDevice;
    private final int unitBytes;

    private volatile long sizeBytes;
    private volatile long presentBytes;
    private volatile long fileBytes;

    private DiskExtent(BlockOptions options, boolean blockDevice, int unitBytes) {
        this.options = options;
        this.blockDevice = blockDevice;
        this.unitBytes = unitBytes;
    }

    /**
     * The extent of a disk that is being opened.
     *
     * @param unitBytes what its size must be a multiple of
     * @throws BlockOpenException it is not, and the disk is to be written
     */
    static DiskExtent of(BlockOptions options, long fileBytes, boolean blockDevice, int unitBytes)
            throws BlockOpenException {
        DiskExtent extent = new DiskExtent(options, blockDevice, unitBytes);
        extent.refresh(fileBytes);
        return extent;
    }

    /** The extent of a file that may have any size and grow under its writer. */
    static DiskExtent ofContainer(BlockOptions options, long fileBytes, boolean blockDevice) {
        DiskExtent extent = new DiskExtent(options, blockDevice, 1);
        extent.resize(fileBytes);
        return extent;
    }

    /** A write has reached {@code endBytes}: the file reaches as far at least. Any loop. */
    void reached(long endBytes) {
        if (endBytes > fileBytes) {
            grow(endBytes);
        }
    }

    private synchronized void grow(long endBytes) {
        if (endBytes > fileBytes) {
            resize(endBytes);
        }
    }

    /** A container has been made larger or smaller. */
    synchronized void resize(long newFileBytes) {
        sizeBytes = newFileBytes;
        presentBytes = newFileBytes;
        fileBytes = newFileBytes;
    }

    /**
     * The file or device has now {@code newFileBytes}. Returns whether the disk has grown by that.
     *
     * @throws BlockOpenException it has shrunk, or ends inside a unit: one line for the user
     */
    boolean refresh(long newFileBytes) throws BlockOpenException {
        long newPresentBytes = options.readOnly() ? roundedUp(newFileBytes) : newFileBytes - newFileBytes % unitBytes;
        if (newPresentBytes < sizeBytes) {
            presentBytes = newPresentBytes;
            fileBytes = newFileBytes;
            throw refused("has shrunk from " + sizeBytes + " to " + newFileBytes + " bytes, which a disk in use cannot;"
                    + " its capacity stays, and requests beyond the new end fail");
        }
        long newSizeBytes = diskBytes(newFileBytes);
        boolean grown = newSizeBytes > sizeBytes;
        sizeBytes = newSizeBytes;
        presentBytes = newSizeBytes;
        fileBytes = newFileBytes; // Last: who sees it finds the others as large.
        return grown;
    }

    /**
     * The disk's size. A file that ends inside a unit is served read-only, the rest of its last unit as zeroes; to write to
     * it would mean to lose that tail or to grow the file, which its owner decides better.
     */
    private long diskBytes(long newFileBytes) throws BlockOpenException {
        if (newFileBytes % unitBytes == 0 || options.readOnly()) {
            return roundedUp(newFileBytes);
        }
        String grow = blockDevice ? "" : ": truncate -s %" + unitBytes + " makes it one";
        throw refused("its size of " + newFileBytes + " bytes is not a multiple of " + unitBytes + grow
                + ", or use read-only=on");
    }

    private long roundedUp(long bytes) {
        return Math.ceilDiv(bytes, unitBytes) * unitBytes;
    }

    private BlockOpenException refused(String why) {
        return new BlockOpenException(options.image() + ": " + why);
    }

    /** What guests are told. */
    long sizeBytes() {
        return sizeBytes;
    }

    /** Where requests must end. */
    long presentBytes() {
        return presentBytes;
    }

    /** Behind it there are zeroes up to {@link #presentBytes}. */
    long fileBytes() {
        return fileBytes;
    }
}

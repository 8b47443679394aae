// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockLimits;
import dev.vublk.blockdev.BlockOpenException;
import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.BlockOptions.Locking;
import dev.vublk.blockdev.IoContext;
import java.io.IOException;

/** A disk in a qcow2 image, with whatever stands behind it: backing images, an external data file. Thread-safe. */
public final class Qcow2Driver implements BlockDriver {
    private static final int SECTOR_BYTES = 512;

    /** Longest discard or write-zeroes: as for files. */
    private static final long MAX_RANGE_BYTES = 1L << 30;

    private final BlockOptions options;
    private final Qcow2Files files;

    /** Replaced when the file may have been changed by somebody else, while no request is under way. */
    private volatile Qcow2Image image;

    /** Whether the image's locks are held, or need not be. */
    private boolean active;

    private Qcow2Driver(BlockOptions options, Qcow2Files files, Qcow2Image image) {
        this.options = options;
        this.files = files;
        this.image = image;
        active = options.locking() != Locking.DEFERRED;
    }

    /** Opens and locks an image and its chain; whatever is wrong with it is one line in the exception. */
    public static Qcow2Driver open(BlockOptions options) throws BlockOpenException {
        if (!options.readOnly() && options.shareRw()) {
            throw new BlockOpenException(options.image()
                    + ": share-rw=on is not for qcow2 images that are written: two writers destroy their tables");
        }
        if (!options.readOnly() && options.snapshot() != null) {
            throw new BlockOpenException(options.image() + ": a snapshot can only be read: add read-only=on");
        }
        return open(options, Qcow2Opening.openFiles(options));
    }

    static Qcow2Driver open(BlockOptions options, Qcow2Files files) throws BlockOpenException {
        try {
            if (options.locking() != Locking.DEFERRED) {
                Qcow2Opening.repairDirty(files, options);
            }
            return new Qcow2Driver(options, files, Qcow2Opening.load(files, options));
        } catch (Throwable failure) {
            files.close();
            throw failure;
        }
    }

    /** The image as it is known now. */
    Qcow2Image image() {
        return image;
    }

    BlockOptions options() {
        return options;
    }

    @Override
    public BlockLimits limits() {
        Qcow2Image now = image;
        BlockLimits file = now.data.limits();
        int logical = options.logicalBlockBytes() == 0 ? SECTOR_BYTES : options.logicalBlockBytes();
        boolean writable = !options.readOnly();
        return new BlockLimits(
                now.sizeBytes(),
                !writable,
                logical,
                Math.max(logical, file.physicalBlockBytes()),
                Math.max(logical, file.minIoBytes()),
                file.optimalIoBytes(),
                writable && options.discard(),
                Math.max(logical, now.header.clusterBytes()),
                MAX_RANGE_BYTES,
                writable,
                MAX_RANGE_BYTES,
                true,
                options.cacheMode().writeback());
    }

    @Override
    public synchronized boolean grow(long sizeBytes) throws IOException {
        if (!active) {
            throw new IOException(options.image() + ": no guest uses it here now, and another host may");
        }
        if (sizeBytes <= image.sizeBytes()) {
            return false;
        }
        image.grow(sizeBytes);
        return true;
    }

    @Override
    public BlockChannel openChannel(IoContext context) {
        return new Qcow2Channel(this, context);
    }

    /** Takes the locks, and reads again what the guest's former host may have written since the image was opened. */
    @Override
    public synchronized void activate() throws BlockOpenException {
        if (active) {
            return;
        }
        files.activate();
        try {
            files.refreshSizes();
            Qcow2Opening.repairDirty(files, options);
            Qcow2Image before = image;
            image = Qcow2Opening.load(files, options);
            before.forgetTables();
            active = true;
        } catch (BlockOpenException e) {
            throw e;
        } catch (IOException e) {
            throw new BlockOpenException(String.valueOf(e.getMessage()));
        } finally {
            if (!active) {
                files.deactivate();
            }
        }
    }

    @Override
    public synchronized void deactivate() {
        if (active) {
            image.settle();
            files.deactivate();
            active = false;
        }
    }

    @Override
    public synchronized void close() {
        if (active) {
            image.settle();
        }
        image.forgetTables();
        files.close();
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import dev.vublk.blockdev.BlockLimits;
import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.ImageType;
import dev.vublk.blockdev.LateLogger;
import dev.vublk.blockdev.linux.PosixFile;
import java.io.IOException;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * The opened file as all channels of one driver see it: what was fixed at opening, and what has been learned since.
 * Thread-safe.
 *
 * <p>What has been learned only ever goes one way (an operation turned out not to exist here), so channels may read it
 * without agreeing on the moment.
 */
final class SharedFile {
    private static final LateLogger LOG = new LateLogger(SharedFile.class);

    final int fd;
    final BlockOptions options;
    final FileGeometry geometry;
    final DirectAlignment alignment;
    /** As of the opening; the disk's size is {@link #extent}'s. */
    final BlockLimits limits;

    final DiskExtent extent;

    /** The file's pages where they can be copied from and to; null where system calls are the way. */
    final @Nullable FileMapping mapping;

    /** Who can be asked for the device's wear; null when nobody can. */
    final @Nullable DeviceHealth health;

    /** Writes that share a block larger than a sector; used only where such writes can happen. */
    final RangeLock ranges = new RangeLock();

    final FlushGate flushes;
    final AtomicInteger openChannels = new AtomicInteger();

    private volatile boolean canDsync = true;
    private volatile boolean canDiscard;
    private volatile boolean canPunchHole = true;
    private volatile boolean canZeroRange = true;
    private volatile boolean canSecureErase = true;

    SharedFile(
            int fd,
            BlockOptions options,
            FileGeometry geometry,
            DirectAlignment alignment,
            BlockLimits limits,
            DiskExtent extent,
            @Nullable FileMapping mapping,
            @Nullable DeviceHealth health) {
        this.fd = fd;
        this.options = options;
        this.geometry = geometry;
        this.alignment = alignment;
        this.limits = limits;
        this.mapping = mapping;
        this.health = health;
        this.extent = extent;
        this.flushes = new FlushGate(options.image());
        this.canDiscard = geometry.canDiscard();
    }

    /** Whether writes must be kept apart by {@link #ranges}: a request may be smaller than O_DIRECT's unit. */
    boolean guardsRanges() {
        return alignment.offsetBytes() > FileGeometry.SECTOR_BYTES;
    }

    /**
     * Whether the file is taken for a raw disk only because its first bytes look like nothing else: then they must stay so, or a
     * guest could have its disk opened as another format next time, with a backing file of its choice.
     */
    boolean isProbedRaw() {
        return options.type() == ImageType.AUTO && !options.readOnly();
    }

    /** Whether {@code RWF_DSYNC} works. */
    boolean canDsync() {
        return canDsync;
    }

    void rememberNoDsync() {
        canDsync = false;
    }

    boolean canDiscard() {
        return canDiscard;
    }

    void rememberNoDiscard() {
        canDiscard = false;
    }

    /** Whether a range can be made zero by giving its space back. */
    boolean canPunchHole() {
        return canPunchHole;
    }

    void rememberNoPunchHole() {
        canPunchHole = false;
    }

    /** Whether a range can be made zero in place ({@code FALLOC_FL_ZERO_RANGE} or {@code BLKZEROOUT}). */
    boolean canZeroRange() {
        return canZeroRange;
    }

    void rememberNoZeroRange() {
        canZeroRange = false;
    }

    /** Whether the device has an erase of its own ({@code BLKSECDISCARD}). */
    boolean canSecureErase() {
        return canSecureErase;
    }

    void rememberNoSecureErase() {
        if (canSecureErase) {
            canSecureErase = false;
            LOG.get()
                    .warn(
                            "{}: the device cannot erase; secure erase overwrites with zeroes, which on flash may leave old copies",
                            options.image());
        }
    }

    /** A container has grown: lets its new end be copied from and to as well. Any loop; does nothing mostly. */
    void mapGrowth() {
        if (mapping != null && extent.fileBytes() > mapping.view().lengthBytes()) {
            growMapping(mapping);
        }
    }

    private synchronized void growMapping(FileMapping grown) {
        long fileBytes = extent.fileBytes();
        if (fileBytes <= grown.view().lengthBytes()) {
            return;
        }
        try {
            grown.growTo(2 * fileBytes); // further than needed, so that this happens a few times only
        } catch (IOException e) {
            LOG.get()
                    .debug("{}: the grown file cannot be mapped, system calls do: {}", options.image(), e.getMessage());
        }
    }

    /** Closes the file; no channel may be open. */
    void close() {
        // A descriptor number closed too early may be another file's in a moment, and requests would go there.
        int open = openChannels.get();
        if (open != 0) {
            throw new IllegalStateException(options.image() + ": closed with " + open + " channels open");
        }
        if (mapping != null) {
            mapping.close();
        }
        PosixFile.close(fd);
    }
}

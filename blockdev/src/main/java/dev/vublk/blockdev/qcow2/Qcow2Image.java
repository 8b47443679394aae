// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockingIoContext;
import dev.vublk.blockdev.IoContext;
import dev.vublk.blockdev.LateLogger;
import dev.vublk.blockdev.file.ContainerChannel;
import dev.vublk.blockdev.file.ContainerFile;
import dev.vublk.blockdev.linux.Errno;
import java.io.IOException;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;

/**
 * One opened image, without its channels: its files, its header and the tables in memory. Shared by all loops; it is replaced as a
 * whole when somebody else may have changed the file. Thread-safe.
 */
final class Qcow2Image {
    private static final LateLogger LOG = new LateLogger(Qcow2Image.class);

    final ContainerFile file;
    /** Where the guest's data is: the file itself, or the external data file. */
    final ContainerFile data;

    final @Nullable BlockDriver backing;
    final Qcow2Header header;
    final L1Table l1;
    final L2Cache cache;
    final ClusterMap map;
    /** The disk's size when it was opened: of the snapshot, where one is. */
    private final long openedBytes;
    /** Up to where the backing file may have something; 0 without one. */
    final long backingBytes;

    /** What its writers share; null in an image that is only read. */
    final @Nullable WritableImage writable;

    private final AtomicBoolean corruptionSeen = new AtomicBoolean();

    /**
     * An image whose tables were read.
     *
     * @param refcountBlocks the refcount table's entries; null for an image that is only read
     * @param discards whether space of discarded clusters is given back to the host
     */
    Qcow2Image(
            Qcow2Files files,
            Qcow2Header header,
            L1Table l1,
            long sizeBytes,
            long cacheBytes,
            long @Nullable [] refcountBlocks,
            boolean discards) {
        this.file = files.file();
        this.data = files.data();
        this.backing = files.backing();
        this.header = header;
        this.l1 = l1;
        this.openedBytes = sizeBytes;
        this.backingBytes =
                backing == null ? 0 : Math.min(sizeBytes, backing.limits().sizeBytes());
        this.cache = new L2Cache(header, l1, cacheBytes);
        this.map = new ClusterMap(header, l1, cache);
        this.writable = refcountBlocks == null
                ? null
                : new WritableImage(file, header, l1, cache, refcountBlocks, sizeBytes, discards);
    }

    /** The disk's size, which may grow. */
    long sizeBytes() {
        return writable == null ? openedBytes : writable.sizeBytes();
    }

    /**
     * Makes the disk larger while requests go on. Blocks; one caller at a time.
     *
     * @param newSizeBytes more than it has
     * @throws IOException it cannot be, or failed: one line for the user
     */
    void grow(long newSizeBytes) throws IOException {
        String name = file.path();
        if (writable == null) {
            throw ResizeRules.refused(name, "it is only read");
        }
        ResizeRules.check(name, header, newSizeBytes);
        if (header.hasDataFile()) {
            throw ResizeRules.refused(name, "it has an external data file: resize it while nobody serves it");
        }
        if (backing != null) {
            ResizeRules.checkBacking(name, sizeBytes(), backing.limits().sizeBytes());
        }
        int l1Entries = ResizeRules.l1Entries(name, header, newSizeBytes);
        int result;
        try (ContainerChannel channel = file.openBlockingChannel()) {
            result = writable.grow(new ChannelMetadataFile(channel, new BlockingIoContext()), newSizeBytes, l1Entries);
        }
        if (result < 0) {
            throw new IOException(name + ": could not be made larger: " + Errno.describe(result));
        }
    }

    /** Leaves the file as that of a closed image, if it was written; no request is under way. Blocks. */
    void settle() {
        if (writable == null) {
            return;
        }
        IoContext context = new BlockingIoContext();
        try (ContainerChannel fileChannel = file.openBlockingChannel();
                ContainerChannel dataChannel = data.openBlockingChannel()) {
            int result = writable.settle(
                    new ChannelMetadataFile(fileChannel, context), new ChannelMetadataFile(dataChannel, context));
            boolean told = file.hasLostWrites() || data.hasLostWrites();
            if (result < 0 && !told) {
                LOG.get().error("{}: could not be closed cleanly: {}", file.path(), Errno.describe(result));
            }
        }
        writable.close();
    }

    /** Lets go of the tables in memory: the image is closed, or another one takes its place. No request is under way. */
    void forgetTables() {
        cache.clear();
    }

    /** Says once that the tables make no sense; later requests are told by their errno alone. */
    void corruptionSeen(long guestOffset) {
        if (corruptionSeen.compareAndSet(false, true)) {
            LOG.get()
                    .error(
                            "{}: the image is corrupt: its tables make no sense at offset {} of the disk; requests there fail"
                                    + " (vublk check tells more)",
                            file.path(),
                            guestOffset);
        }
    }
}

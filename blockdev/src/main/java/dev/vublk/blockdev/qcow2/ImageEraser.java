// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import dev.vublk.blockdev.file.RangeLock;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.NativeMemory;

/**
 * Discards and zeroes on one loop: whole clusters by their entries, what is left at the edges by writing zeroes. Runs on that loop.
 *
 * <p>A discarded range reads as zeroes. Where entries cannot say so (version 2) and a backing file would show through, nothing is
 * discarded, and zeroes are written as data.
 */
final class ImageEraser {
    private final WritableImage image;
    private final EntryRules rules;
    private final MetadataFile file;
    private final MetadataFile data;
    private final ImageWriter writer;
    private final RequestEpochs.Counter requests;
    private final L2Cache cache;
    private final int clusterBits;
    private final long clusterMask;
    private final boolean hasDataFile;
    private final boolean hasRawDataFile;

    ImageEraser(
            WritableImage image,
            EntryRules rules,
            MetadataFile file,
            MetadataFile data,
            ImageWriter writer,
            RequestEpochs.Counter requests) {
        this.image = image;
        this.rules = rules;
        this.file = file;
        this.data = data;
        this.writer = writer;
        this.requests = requests;
        this.cache = image.cache;
        this.clusterBits = image.header.clusterBits();
        this.clusterMask = image.header.clusterBytes() - 1L;
        this.hasDataFile = image.header.hasDataFile();
        this.hasRawDataFile = image.header.hasRawDataFile();
    }

    /** Discards the whole clusters of a range; as {@code BlockChannel.discard}. */
    int discard(long offsetBytes, long lengthBytes) {
        if (!image.discards()) {
            return 0;
        }
        long start = (offsetBytes + clusterMask) & ~clusterMask;
        long end = clusterEnd(offsetBytes + lengthBytes);
        if (start >= end || (!rules.canZero() && rules.reachesBacking(start))) {
            return 0;
        }
        int result = begin(start, end, true);
        if (result == 0 && image.isFreedFull()) {
            result = writer.flush();
        }
        return result;
    }

    /** Makes a range read as zeroes; as {@code BlockChannel.writeZeroes}. */
    int writeZeroes(long offsetBytes, long lengthBytes, boolean mayUnmap, boolean fua) {
        int result = begin(offsetBytes, offsetBytes + lengthBytes, mayUnmap && image.discards());
        return result == 0 && (fua || image.isFreedFull()) ? writer.flush() : result;
    }

    /** The end of the last whole cluster; the disk's last cluster is whole however short it is. */
    private long clusterEnd(long end) {
        return end == image.sizeBytes() ? end : end & ~clusterMask;
    }

    private int begin(long start, long end, boolean unmap) {
        int result = image.begin(file);
        if (result < 0) {
            return result;
        }
        result = eraseInEpoch(start, end, unmap);
        // Where something is copied first: a table that snapshots share, or the rest of a cluster.
        return WritableImage.isFull(result) && image.makeRoom(file, data) == 0
                ? eraseInEpoch(start, end, unmap)
                : result;
    }

    private int eraseInEpoch(long start, long end, boolean unmap) {
        long epoch = requests.enter();
        WriteSlot slot = writer.acquireSlot();
        try {
            return erase(slot, start, end, unmap);
        } finally {
            writer.releaseSlot(slot);
            requests.exit(epoch);
        }
    }

    private int erase(WriteSlot slot, long start, long end, boolean unmap) {
        long wholeEnd = clusterEnd(end);
        for (long at = start; at < end; ) {
            long step;
            boolean whole = (at & clusterMask) == 0 && at < wholeEnd;
            if (whole && hasRawDataFile) {
                step = zeroRaw(at, wholeEnd - at);
            } else if (whole && (rules.canZero() || (unmap && !rules.reachesBacking(at)))) {
                step = eraseClusters(slot, at, wholeEnd - at, unmap);
            } else {
                step = Math.min(end - at, clusterMask + 1 - (at & clusterMask));
                int result = writePart(slot, at, step);
                step = result < 0 ? result : step;
            }
            if (step < 0) {
                return (int) step;
            }
            at += step;
        }
        return 0;
    }

    /**
     * Zeroes whole clusters of a raw data file, whatever the entries say, which stay: those that name no data read as zeroes, but
     * the file may hold what a failed write left.
     */
    private long zeroRaw(long at, long bytes) {
        RangeLock.Range range = image.clusters.acquire(file.queue(), at, at + bytes, true);
        try {
            int result = data.writeZeroes(at, bytes);
            return result < 0 ? result : bytes;
        } finally {
            image.clusters.release(range);
        }
    }

    /** How many bytes were done, which may reach behind the disk's end, or a negative errno. */
    private long eraseClusters(WriteSlot slot, long at, long mostBytes, boolean unmap) {
        int l1Index = cache.l1Index(at);
        if (image.l1.tableOffset(l1Index) == 0 && !rules.reachesBacking(at)) {
            return cache.tableEnd(at) - at; // Zeroes as it is.
        }
        long clusters = Math.min((mostBytes + clusterMask) >>> clusterBits, writer.sliceBytesFrom(at) >>> clusterBits);
        long bytes = clusters << clusterBits;
        RangeLock.Range range = image.clusters.acquire(file.queue(), at, at + bytes, true);
        try {
            L2Slice slice = null;
            int result = image.ownTable(file, l1Index);
            while (result == 0 && (slice = cache.pin(at)) == null) {
                result = cache.load(file, at);
            }
            if (slice == null) {
                return result;
            }
            try {
                result = writer.makeReady(slot, slice, at);
                if (result == 0) {
                    result = change(slot, slice, at, (int) clusters, unmap);
                }
                return result < 0 ? result : bytes;
            } finally {
                cache.unpin(slice);
            }
        } finally {
            image.clusters.release(range);
        }
    }

    private int change(WriteSlot slot, L2Slice slice, long at, int count, boolean unmap) {
        int words = slice.wordsPerEntry();
        int index = cache.entryIndex(at);
        slot.change.begin(index, count, words);
        slot.reserveOldWords(count * words);
        boolean changed = false;
        for (int i = 0; i < count; i++) {
            slice.read(index + i, slot.entry);
            long old = slot.entry.entry;
            long oldBitmap = slot.entry.bitmap;
            rules.zero(slot.entry, at + ((long) i << clusterBits), unmap);
            long now = slot.entry.entry;
            changed |= now != old || slot.entry.bitmap != oldBitmap;
            slot.change.words()[i * words] = now;
            if (words > 1) {
                slot.change.words()[i * words + 1] = slot.entry.bitmap;
            }
            // A cluster that stays is not freed.
            slot.oldWords[i * words] = EntryRules.namesSame(old, now) ? 0 : old;
        }
        if (!changed) {
            return 0;
        }
        int result = L2Commit.commit(image, file, slice, slot.change);
        if (result < 0) {
            return result;
        }
        writer.freeOld(slot, count, words, unmap);
        long bytes = Math.min((long) count << clusterBits, image.sizeBytes() - at);
        return hasDataFile && unmap ? data.discard(at, bytes) : 0;
    }

    /** Writes zeroes over a part of a cluster, unless there are zeroes already. */
    private int writePart(WriteSlot slot, long at, long bytes) {
        L2Slice slice;
        while ((slice = cache.find(at)) == null && image.l1.tableOffset(cache.l1Index(at)) != 0) {
            int result = cache.load(file, at);
            if (result < 0) {
                return result;
            }
        }
        slot.entry.entry = 0;
        slot.entry.bitmap = 0;
        if (slice != null) {
            slice.read(cache.entryIndex(at), slot.entry);
        }
        // A suspect slice may read as zeroes while the file names what a failed write left: then zeroes are written.
        boolean known = slice == null || !slice.isSuspect;
        if (known && rules.isZero(slot.entry, at, at + bytes)) {
            return hasRawDataFile ? data.writeZeroes(at, bytes) : 0;
        }
        long iov = slot.single(Zeroes.ADDRESS, bytes);
        return iov == 0 ? -Errno.ENOMEM : writer.writePieces(slot, at, iov, 1, bytes);
    }

    /** A cluster of zeroes for every image, made when the first one needs it; only ever read. */
    private static final class Zeroes {
        static final long ADDRESS = NativeMemory.allocateZeroed(1L << Qcow2Layout.CLUSTER_BITS_MAX);
    }
}

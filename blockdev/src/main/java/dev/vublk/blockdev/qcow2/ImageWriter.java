// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static dev.vublk.blockdev.qcow2.Qcow2Layout.OFFSET_MASK;
import static dev.vublk.blockdev.qcow2.Qcow2Layout.OFLAG_COMPRESSED;
import static dev.vublk.blockdev.qcow2.Qcow2Layout.OFLAG_COPIED;

import dev.vublk.blockdev.file.RangeLock;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.NativeMemory;
import java.util.ArrayList;
import org.jspecify.annotations.Nullable;

/**
 * Writes to an image on one loop. Runs on that loop; allocates nothing once as many requests were under way before.
 *
 * <p>Data of a cluster that is this image's alone goes straight to the file. Otherwise the writer has the range alone, and:
 *
 * <pre>
 *   ClusterAllocator.allocate   clusters that are counted and zero, stably
 *   write                       the guest's data and, around it, what the clusters held before
 *   WritableImage.barrier       only where old data was replaced: it is stable before the old place is forgotten
 *   L2Commit.commit             the entries are in the file; then everybody sees them
 *   FreedClusters.add           the old clusters, for after the next flush
 * </pre>
 */
final class ImageWriter implements AutoCloseable {
    /** Clusters of one allocation at most; bounds a slot's memory. Arbitrary. */
    private static final int CLUSTERS_MAX = 512;

    /** Reads the disk as the guest sees it. */
    @FunctionalInterface
    interface GuestReader {
        int readv(long offsetBytes, long iovAddress, int iovCount, long lengthBytes);
    }

    /** What {@link #write} returns when the data is stable already. */
    private static final int STABLE = 1;

    private final WritableImage image;
    private final EntryRules rules;
    private final MetadataFile file;
    private final MetadataFile data;
    private final GuestReader reader;
    private final L2Cache cache;
    private final RequestEpochs.Counter requests;
    private final int clusterBits;
    private final long clusterMask;
    private final boolean hasDataFile;
    private final boolean hasRawDataFile;

    private final ArrayList<WriteSlot> slots = new ArrayList<>();
    private final L2Entry looked = new L2Entry();
    /** Where the bytes that {@link #inPlaceBytes} found are in the file. */
    private long inPlaceOffset;

    /**
     * The writer of one channel.
     *
     * @param data where guest data is: the external data file, or {@code file}
     * @param reader the same channel's reads
     * @param requests counts this channel's reads, too
     */
    ImageWriter(
            WritableImage image,
            EntryRules rules,
            MetadataFile file,
            MetadataFile data,
            GuestReader reader,
            RequestEpochs.Counter requests) {
        this.image = image;
        this.rules = rules;
        this.file = file;
        this.data = data;
        this.reader = reader;
        this.requests = requests;
        this.cache = image.cache;
        this.clusterBits = image.header.clusterBits();
        this.clusterMask = image.header.clusterBytes() - 1L;
        this.hasDataFile = image.header.hasDataFile();
        this.hasRawDataFile = image.header.hasRawDataFile();
    }

    /** Writes; as {@code BlockChannel.writev}. */
    int writev(long offsetBytes, long iovAddress, int iovCount, long lengthBytes, boolean fua) {
        int result = image.begin(file);
        if (result < 0) {
            return result;
        }
        result = writeInEpoch(offsetBytes, iovAddress, iovCount, lengthBytes, fua);
        if (WritableImage.isFull(result) && image.makeRoom(file, data) == 0) {
            result = writeInEpoch(offsetBytes, iovAddress, iovCount, lengthBytes, fua);
        }
        if (result == STABLE) {
            return 0;
        }
        return result == 0 && fua ? flush() : result;
    }

    private int writeInEpoch(long offsetBytes, long iovAddress, int iovCount, long lengthBytes, boolean fua) {
        long epoch = requests.enter();
        try {
            return write(offsetBytes, iovAddress, iovCount, lengthBytes, fua);
        } finally {
            requests.exit(epoch);
        }
    }

    /** Makes everything stable that was written before. */
    int flush() {
        return image.flush(file, data);
    }

    private int write(long offsetBytes, long iovAddress, int iovCount, long lengthBytes, boolean fua) {
        L2Slice slice = cache.find(offsetBytes);
        if (slice != null && inPlaceBytes(slice, offsetBytes, lengthBytes) == lengthBytes) {
            boolean stable = fua && image.isMetadataStable(); // Asked after the entry was read.
            int result = data.writev(inPlaceOffset, iovAddress, iovCount, lengthBytes, stable);
            return result == 0 && stable ? STABLE : result;
        }
        WriteSlot slot = acquireSlot();
        try {
            return writePieces(slot, offsetBytes, iovAddress, iovCount, lengthBytes);
        } finally {
            slots.add(slot);
        }
    }

    WriteSlot acquireSlot() {
        return slots.isEmpty() ? new WriteSlot() : slots.removeLast();
    }

    void releaseSlot(WriteSlot slot) {
        slots.add(slot);
    }

    /** Writes piece by piece: what is in place and together in the file, or newly allocated and together. */
    int writePieces(WriteSlot slot, long offsetBytes, long iovAddress, int iovCount, long lengthBytes) {
        slot.source(iovAddress);
        if (!slot.reserve(iovCount)) {
            return -Errno.ENOMEM;
        }
        for (long done = 0; done < lengthBytes; ) {
            long step = writePiece(slot, offsetBytes + done, lengthBytes - done);
            if (step < 0) {
                return (int) step;
            }
            done += step;
        }
        return 0;
    }

    /** How many bytes were written, 0 when somebody else has allocated meanwhile, or a negative errno. */
    private long writePiece(WriteSlot slot, long at, long remainingBytes) {
        L2Slice slice;
        while ((slice = cache.find(at)) == null && image.l1.tableOffset(cache.l1Index(at)) != 0) {
            int result = cache.load(file, at);
            if (result < 0) {
                return result;
            }
        }
        long bytes = slice == null ? 0 : inPlaceBytes(slice, at, remainingBytes);
        if (bytes > 0) {
            long offset = inPlaceOffset;
            int result = data.writev(offset, slot.iov(), slot.take(0, bytes), bytes, false);
            return result < 0 ? result : bytes;
        }
        return allocatePiece(slot, at, remainingBytes);
    }

    /**
     * How many bytes from {@code at} on may be written in place and lie together; {@link #inPlaceOffset} says where, until the
     * caller waits for something.
     */
    private long inPlaceBytes(L2Slice slice, long at, long mostBytes) {
        if (slice.checkedGeneration != image.metadata.generation()
                || slice.isSuspect
                || (image.l1.get(slice.l1Index) & OFLAG_COPIED) == 0) {
            return 0;
        }
        int index = cache.entryIndex(at);
        int count = slice.entryCount();
        long bytes = 0;
        while (bytes < mostBytes && index < count) {
            long from = at + bytes;
            long step = Math.min(mostBytes - bytes, clusterMask + 1 - (from & clusterMask));
            slice.read(index++, looked);
            if (!rules.isInPlace(looked, from, from + step)) {
                break;
            }
            long offset = (looked.entry & OFFSET_MASK) + (from & clusterMask);
            if (bytes == 0) {
                inPlaceOffset = offset;
            } else if (offset != inPlaceOffset + bytes) {
                break;
            }
            bytes += step;
        }
        return bytes;
    }

    /** As {@link #writePiece}, for a piece that begins with a cluster that is not in place. */
    private long allocatePiece(WriteSlot slot, long at, long remainingBytes) {
        long start = at & ~clusterMask;
        long end = Math.min((at + remainingBytes + clusterMask) & ~clusterMask, start + sliceBytesFrom(at));
        RangeLock.Range range = image.clusters.acquire(file.queue(), start, end, true);
        try {
            L2Slice slice = null;
            int result = image.ownTable(file, cache.l1Index(at));
            while (result == 0 && (slice = cache.pin(at)) == null) {
                result = cache.load(file, at);
            }
            if (slice == null) {
                return result;
            }
            try {
                result = makeReady(slot, slice, start);
                if (result < 0) {
                    return result;
                }
                long bytes = Math.min(remainingBytes, end - at);
                return inPlaceBytes(slice, at, bytes) > 0 ? 0 : allocateIn(slot, slice, at, bytes);
            } finally {
                cache.unpin(slice);
            }
        } finally {
            image.clusters.release(range);
        }
    }

    /** How many bytes of the disk the slice of {@code at} is about from its cluster on, within bounds. */
    long sliceBytesFrom(long at) {
        return (long) Math.min(cache.entriesPerSlice() - cache.entryIndex(at), CLUSTERS_MAX) << clusterBits;
    }

    /** The file has what a suspect slice says, and no entry names metadata; checked anew when there is more metadata. */
    int makeReady(WriteSlot slot, L2Slice slice, long guestOffset) {
        if (slice.isSuspect) {
            int result = L2Commit.repair(image, file, slice, slot.change);
            if (result < 0) {
                return result;
            }
        }
        int generation = image.metadata.generation();
        if (slice.checkedGeneration == generation) {
            return 0;
        }
        String wrong = wrongEntry(slice, guestOffset);
        if (wrong != null) {
            return image.corruption.found(file, wrong);
        }
        slice.checkedGeneration = generation;
        return 0;
    }

    private @Nullable String wrongEntry(L2Slice slice, long guestOffset) {
        long first = guestOffset - ((long) cache.entryIndex(guestOffset) << clusterBits);
        for (int i = 0; i < slice.entryCount(); i++) {
            slice.read(i, looked);
            long offset = looked.entry & OFFSET_MASK;
            if ((looked.entry & OFLAG_COMPRESSED) != 0 || (offset == 0 && !hasDataFile)) {
                continue; // Never written in place.
            }
            long at = first + ((long) i << clusterBits);
            boolean wrong = hasDataFile
                    ? rules.isOwn(looked.entry) && offset != at
                    : (offset & clusterMask) != 0 || image.metadata.contains(offset >>> clusterBits);
            if (wrong) {
                return "the entry of offset " + at + " names "
                        + (hasDataFile ? "another" : "a place that holds metadata:") + " offset " + offset;
            }
        }
        return null;
    }

    private long allocateIn(WriteSlot slot, L2Slice slice, long at, long mostBytes) {
        int index = cache.entryIndex(at);
        long start = at & ~clusterMask;
        slice.read(index, slot.entry);
        if (rules.isPartlyAllocated(slot.entry)) {
            return fill(slot, slice, index, at, Math.min(mostBytes, start + clusterMask + 1 - at));
        }
        long wanted = ((at + mostBytes + clusterMask) >>> clusterBits) - (at >>> clusterBits);
        int count = 1;
        while (count < wanted && needsCluster(slice, index + count)) {
            count++;
        }
        long offset = start; // In an external data file every cluster has its place.
        if (!hasDataFile) {
            int result = image.allocator.allocate(file, count, slot.run);
            if (result < 0) {
                return result;
            }
            count = (int) slot.run.count;
            offset = slot.run.cluster << clusterBits;
        }
        return replace(slot, slice, count, offset, at, Math.min(mostBytes, start + ((long) count << clusterBits) - at));
    }

    private boolean needsCluster(L2Slice slice, int index) {
        slice.read(index, looked);
        return !rules.isOwn(looked.entry) || rules.isZeroed(looked);
    }

    /** Puts data into {@code count} new clusters at {@code offset} of the file and lets the entries name them. */
    private long replace(WriteSlot slot, L2Slice slice, int count, long offset, long at, long bytes) {
        int index = cache.entryIndex(at);
        boolean replacesData = describe(slot, slice, index, count, offset, at, at + bytes);
        slice.read(index, slot.entry);
        long copyStart = rules.copyStart(slot.entry, at);
        slice.read(index + count - 1, slot.entry);
        long copyEnd = Math.max(at + bytes, Math.min(rules.copyEnd(slot.entry, at + bytes), image.sizeBytes()));
        int result = 0;
        if (hasDataFile) {
            // There may be anything, as what a failed write left.
            long length = (long) count << clusterBits;
            result = data.writeZeroes(offset, hasRawDataFile ? Math.min(length, image.sizeBytes() - offset) : length);
            replacesData = true;
        }
        if (result == 0) {
            result = writeAround(slot, offset + (copyStart - (at & ~clusterMask)), copyStart, at, bytes, copyEnd);
        }
        if (result == 0 && replacesData) {
            result = image.barrier(file, data);
        }
        if (result < 0) {
            if (!hasDataFile) {
                image.freed.add(
                        offset >>> clusterBits, count, false); // Nobody names them, but they are not zero any more.
            }
            return result;
        }
        // When this fails the file may name the new clusters or the old ones: neither are given back.
        result = L2Commit.commit(image, file, slice, slot.change);
        if (result < 0) {
            return result;
        }
        freeOld(slot, count, slice.wordsPerEntry(), false);
        return bytes;
    }

    /** Sets up the change of the entries; whether one of the clusters held data before. */
    private boolean describe(WriteSlot slot, L2Slice slice, int index, int count, long offset, long at, long end) {
        int words = slice.wordsPerEntry();
        slot.change.begin(index, count, words);
        slot.reserveOldWords(count * words);
        boolean replacesData = false;
        long start = at & ~clusterMask;
        for (int i = 0; i < count; i++) {
            long clusterStart = start + ((long) i << clusterBits);
            slice.read(index + i, slot.entry);
            replacesData |= rules.mayHoldData(slot.entry, clusterStart);
            slot.oldWords[i * words] = slot.entry.entry;
            slot.change.words()[i * words] = (offset + ((long) i << clusterBits)) | OFLAG_COPIED;
            if (words > 1) {
                slot.change.words()[i * words + 1] = rules.newBitmap(
                        slot.entry, Math.max(at, clusterStart), Math.min(end, clusterStart + clusterMask + 1));
            }
        }
        return replacesData;
    }

    /** Allocates subclusters in a cluster that is there; what it holds where none are may be anything. */
    private long fill(WriteSlot slot, L2Slice slice, int index, long at, long bytes) {
        long start = at & ~clusterMask;
        long fillStart = rules.fillStart(slot.entry, at);
        long fillEnd = rules.fillEnd(slot.entry, at + bytes);
        slot.change.begin(index, 1, slice.wordsPerEntry());
        slot.change.words()[0] = slot.entry.entry;
        slot.change.words()[1] = rules.filledBitmap(slot.entry, at, at + bytes);
        long offset = (slot.entry.entry & OFFSET_MASK) + (fillStart - start);
        int result = writeAround(slot, offset, fillStart, at, bytes, fillEnd);
        if (result == 0) {
            result = image.barrier(file, data);
        }
        if (result == 0) {
            result = L2Commit.commit(image, file, slice, slot.change);
        }
        return result < 0 ? result : bytes;
    }

    /** Writes the guest's next bytes and what the disk holds before and behind them. */
    private int writeAround(WriteSlot slot, long offset, long copyStart, long at, long bytes, long copyEnd) {
        int before = (int) (at - copyStart);
        int behind = (int) (copyEnd - at - bytes);
        long buffer = 0;
        if (before + behind > 0) {
            buffer = slot.buffer(before + behind);
            if (buffer == 0) {
                return -Errno.ENOMEM;
            }
            int result = readOld(slot, buffer, copyStart, before);
            if (result == 0) {
                result = readOld(slot, buffer + before, at + bytes, behind);
            }
            if (result < 0) {
                return result;
            }
        }
        int count = 0;
        if (before > 0) {
            slot.put(count++, buffer, before);
        }
        count = slot.take(count, bytes);
        if (behind > 0) {
            slot.put(count++, buffer + before, behind);
        }
        return data.writev(offset, slot.iov(), count, copyEnd - copyStart, false);
    }

    /** What lies behind the disk's end reads as zeroes. */
    private int readOld(WriteSlot slot, long buffer, long at, int bytes) {
        if (bytes == 0) {
            return 0;
        }
        int there = Math.clamp(image.sizeBytes() - at, 0, bytes);
        NativeMemory.zero(buffer + there, bytes - there);
        slot.put(0, buffer, there);
        return there == 0 ? 0 : reader.readv(at, slot.iov(), 1, there);
    }

    /** Lets go of the clusters that replaced entries named. */
    void freeOld(WriteSlot slot, int count, int wordsPerEntry, boolean discard) {
        if (hasDataFile) {
            return;
        }
        for (int i = 0; i < count; i++) {
            long old = slot.oldWords[i * wordsPerEntry];
            if ((old & OFLAG_COMPRESSED) != 0) {
                long offset = Qcow2Layout.compressedOffset(old, clusterBits);
                long end = offset + Qcow2Layout.compressedBytes(old, clusterBits);
                long first = offset >>> clusterBits;
                image.freed.add(first, ((end - 1) >>> clusterBits) - first + 1, discard);
            } else if ((old & OFFSET_MASK) != 0) {
                image.freed.add((old & OFFSET_MASK) >>> clusterBits, 1, discard);
            }
        }
    }

    @Override
    public void close() {
        slots.forEach(WriteSlot::close);
        slots.clear();
        image.epochs.remove(requests);
    }
}

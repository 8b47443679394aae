// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import dev.vublk.blockdev.file.ContainerFile;
import dev.vublk.blockdev.file.RangeLock;
import dev.vublk.blockdev.linux.Errno;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;

/**
 * What the channels of an image that is written share: who hands out clusters, who keeps writers of a cluster apart, and how far
 * everything is stable. Thread-safe.
 */
final class WritableImage {
    /** So many freed clusters wait for a flush at most, before a discard sees to one. Arbitrary. */
    private static final long FREED_MAX_BYTES = 1L << 30;

    final Qcow2Header header;
    final L1Table l1;
    final L2Cache cache;
    final MetadataClusters metadata;
    final ClusterAllocator allocator;
    final ImageCorruption corruption;
    final RequestEpochs epochs = new RequestEpochs();
    final FreedClusters freed = new FreedClusters(epochs);

    /** By offset of the disk: whoever changes L2 entries has their clusters alone. */
    final RangeLock clusters = new RangeLock();

    /** Who changes the L1 table has it alone, and so has who begins to write. */
    private final RangeLock turn = new RangeLock();

    /** Whoever frees clusters has this alone. */
    private final RangeLock reapTurn = new RangeLock();

    private final AtomicBoolean reaping = new AtomicBoolean();
    /** Of who has the {@link #reapTurn}. */
    private final FreedRuns freedRuns = new FreedRuns();

    final HeaderUpdate headerUpdate;
    private final boolean discards;
    private volatile boolean begun;
    private volatile long sizeBytes;

    /** Whether a failed growth left the file with one of two L1 tables: then nothing in them may change. Guarded by the turn. */
    private boolean isL1Uncertain;

    private final AtomicLong commits = new AtomicLong();
    private final AtomicLong stableCommits = new AtomicLong();

    /** The shared part of an image in a file that was opened for writing. */
    WritableImage(
            ContainerFile file,
            Qcow2Header header,
            L1Table l1,
            L2Cache cache,
            long[] refcountBlocks,
            long sizeBytes,
            boolean discards) {
        this(
                file.path(),
                header,
                l1,
                cache,
                refcountBlocks,
                file.sizeBytes(),
                file.isBlockDevice(),
                sizeBytes,
                discards);
    }

    /**
     * The shared part of an image that was opened for writing.
     *
     * @param fixedSize whether the file cannot grow: a block device
     * @param discards whether space of discarded clusters is given back to the host
     */
    WritableImage(
            String image,
            Qcow2Header header,
            L1Table l1,
            L2Cache cache,
            long[] refcountBlocks,
            long fileBytes,
            boolean fixedSize,
            long sizeBytes,
            boolean discards) {
        this.header = header;
        this.l1 = l1;
        this.cache = cache;
        this.sizeBytes = sizeBytes;
        this.discards = discards;
        this.metadata = MetadataClusters.of(header, l1, refcountBlocks);
        this.headerUpdate = new HeaderUpdate(header);
        this.corruption = new ImageCorruption(image, headerUpdate);
        this.allocator = new ClusterAllocator(
                image,
                header,
                new RefcountTable(header, refcountBlocks, metadata),
                metadata,
                headerUpdate,
                corruption,
                fileBytes,
                fixedSize);
    }

    boolean discards() {
        return discards;
    }

    /** The disk's size, which may grow. */
    long sizeBytes() {
        return sizeBytes;
    }

    /** Called before each change: whether the image may be changed, and what must be in the header before the first change. */
    int begin(MetadataFile file) {
        if (corruption.isFound()) {
            return -Errno.EIO;
        }
        return begun ? 0 : beginFirst(file);
    }

    /**
     * What the header says of bitmaps is no longer true once something is written that they do not know of. With lazy refcounts
     * the refcounts need not be right from now on.
     */
    private int beginFirst(MetadataFile file) {
        RangeLock.Range range = turn.acquire(file.queue(), 0, 1, true);
        try {
            int result = checkTables(file);
            long kept = header.hasDataFile() ? Qcow2Layout.AUTOCLEAR_DATA_FILE_RAW : 0;
            if (!begun && result == 0 && (header.autoclear() & ~kept) != 0) {
                result = headerUpdate.keepAutoclear(file, kept);
            }
            if (!begun && result == 0 && header.hasLazyRefcounts()) {
                result = headerUpdate.incompatible(file, Qcow2Layout.INCOMPATIBLE_DIRTY, 0);
                allocator.useLazyRefcounts();
            }
            begun |= result == 0;
            return result;
        } finally {
            turn.release(range);
        }
    }

    /** A change of a table that is another one as well would destroy both. */
    private int checkTables(MetadataFile file) {
        long wrong = metadata.wrongOffset();
        return wrong < 0 ? 0 : corruption.found(file, "offset " + wrong + " is that of two tables, or can be of none");
    }

    /** An L2 or L1 entry has been written, and is shown to others only after this call. */
    void countCommit() {
        commits.incrementAndGet();
    }

    /** Whether every entry is stable, so that data written in place needs nothing but itself to be. */
    boolean isMetadataStable() {
        return stableCommits.get() == commits.get();
    }

    /**
     * Makes everything stable that was written before this call, and frees clusters that waited for that.
     *
     * @param data the external data file, or {@code file} itself
     */
    int flush(MetadataFile file, MetadataFile data) {
        int result = barrier(file, data);
        if (result == 0 && freed.clusterCount() > 0) {
            reap(file);
        }
        return result;
    }

    /** Makes everything stable that was written before this call. */
    int barrier(MetadataFile file, MetadataFile data) {
        long mark = freed.mark();
        long commitsBefore = commits.get();
        int result = header.hasDataFile() ? data.flush() : 0;
        if (result == 0) {
            result = file.flush();
        }
        if (result == 0) {
            freed.stable(mark);
            stableCommits.accumulateAndGet(commitsBefore, Math::max);
        }
        return result;
    }

    /** Whether a request failed because the file has no room for it. */
    static boolean isFull(int result) {
        return result == -Errno.ENOSPC || result == -Errno.EDQUOT;
    }

    /**
     * The file has no room for a request: makes room of everything that waits to be free, and of what is reserved. Worth another
     * try then, whatever it says. Waits for all requests under way; the caller is in none of them, and holds nothing.
     *
     * @return 0, or a negative errno: nothing could be made stable, so there is no more room than before
     */
    int makeRoom(MetadataFile file, MetadataFile data) {
        long now = epochs.now();
        int result = barrier(file, data);
        if (result == 0) {
            epochs.awaitOver(now, file.queue());
            free(file);
            allocator.restart(file);
        }
        return result;
    }

    /** Frees what may be freed; who comes while another one does it leaves it to that one. */
    private void reap(MetadataFile file) {
        if (!reaping.compareAndSet(false, true)) {
            return;
        }
        try {
            free(file);
        } finally {
            reaping.set(false);
        }
    }

    private void free(MetadataFile file) {
        RangeLock.Range range = reapTurn.acquire(file.queue(), 0, 1, true);
        try {
            do {
                freedRuns.clear();
                while (!freedRuns.isFull() && freed.poll(freedRuns)) {
                    // Each one goes into the list.
                }
                if (freedRuns.size() > 0 && !corruption.isFound()) {
                    allocator.free(file, freedRuns, discards);
                }
            } while (freedRuns.isFull());
        } finally {
            reapTurn.release(range);
        }
    }

    /** Whether so much waits to be freed that somebody should flush. */
    boolean isFreedFull() {
        return freed.clusterCount() > Math.max(FREED_MAX_BYTES >>> header.clusterBits(), 1);
    }

    /** Makes sure that an L1 entry has an L2 table of its own, which may be changed. */
    int ownTable(MetadataFile file, int l1Index) {
        if ((l1.get(l1Index) & Qcow2Layout.OFLAG_COPIED) != 0) {
            return 0;
        }
        RangeLock.Range range = turn.acquire(file.queue(), 0, 1, true);
        try {
            if ((l1.get(l1Index) & Qcow2Layout.OFLAG_COPIED) != 0) {
                return 0;
            }
            return isL1Uncertain ? -Errno.EIO : new L2TableCopy(this, file).replace(l1Index);
        } finally {
            turn.release(range);
        }
    }

    /**
     * Makes the disk larger while requests go on. Waits for those that began before, so that from now on everybody knows the new
     * end; the caller is in none of them.
     *
     * @param l1Entries how long the L1 table has to be for that
     * @return 0, or a negative errno: the disk keeps its size, though the file may have the other one when it is opened again
     */
    int grow(MetadataFile file, long newSizeBytes, int l1Entries) {
        int result = begin(file);
        if (result < 0) {
            return result;
        }
        RangeLock.Range range = turn.acquire(file.queue(), 0, 1, true);
        try {
            ImageGrowth growth = new ImageGrowth(this, file);
            result = growth.to(newSizeBytes, l1Entries);
            isL1Uncertain = result < 0 && (isL1Uncertain || growth.isUncertain());
            if (result < 0) {
                return result;
            }
            sizeBytes = newSizeBytes;
        } finally {
            turn.release(range);
        }
        epochs.awaitOver(epochs.now(), file.queue());
        return 0;
    }

    /** Gives back what is reserved and leaves the file as a closed image; no request is under way. */
    int settle(MetadataFile file, MetadataFile data) {
        if (corruption.isFound()) {
            return 0;
        }
        int result = begun ? flush(file, data) : 0;
        if (result < 0 || !begun) {
            return result;
        }
        allocator.release(file);
        if (header.hasLazyRefcounts()) {
            result = file.flush();
            if (result == 0) {
                result = headerUpdate.incompatible(file, 0, Qcow2Layout.INCOMPATIBLE_DIRTY);
            }
        }
        begun = false;
        return result;
    }

    /** Lets go of memory. */
    void close() {
        allocator.close();
    }
}

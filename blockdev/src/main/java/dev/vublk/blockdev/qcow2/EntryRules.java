// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static dev.vublk.blockdev.qcow2.Qcow2Layout.OFFSET_MASK;
import static dev.vublk.blockdev.qcow2.Qcow2Layout.OFLAG_COMPRESSED;
import static dev.vublk.blockdev.qcow2.Qcow2Layout.OFLAG_COPIED;
import static dev.vublk.blockdev.qcow2.Qcow2Layout.OFLAG_ZERO;
import static dev.vublk.blockdev.qcow2.Qcow2Layout.SUBCLUSTERS_ALLOCATED;
import static dev.vublk.blockdev.qcow2.Qcow2Layout.SUBCLUSTERS_PER_CLUSTER;
import static dev.vublk.blockdev.qcow2.Qcow2Layout.SUBCLUSTERS_ZERO;

/** What L2 entries of one image mean for who writes. A value of constants; any thread. */
final class EntryRules {
    private final boolean hasZeroFlag;
    private final boolean hasSubclusters;
    private final boolean hasDataFile;
    private final int subclusterBits;
    private final long clusterMask;
    private final long backingBytes;

    /**
     * The rules of an image.
     *
     * @param backingBytes up to where the backing file has data; 0 without one
     */
    EntryRules(Qcow2Header header, long backingBytes) {
        this.hasSubclusters = header.hasSubclusters();
        this.hasZeroFlag = header.version() >= Qcow2Layout.VERSION_3 && !hasSubclusters;
        this.hasDataFile = header.hasDataFile();
        this.subclusterBits = header.clusterBits() - Integer.numberOfTrailingZeros(SUBCLUSTERS_PER_CLUSTER);
        this.clusterMask = header.clusterBytes() - 1L;
        this.backingBytes = backingBytes;
    }

    /** Whether entries can say that a cluster reads as zeroes. */
    boolean canZero() {
        return hasZeroFlag || hasSubclusters;
    }

    /** Whether what is in no image of the chain can be read at this offset of the disk, or something of the backing file. */
    boolean reachesBacking(long guestOffset) {
        return guestOffset < backingBytes;
    }

    /** Whether a cluster of this image's own, and only of its, stands behind the entry. */
    boolean isOwn(long entry) {
        return (entry & (OFLAG_COPIED | OFLAG_COMPRESSED)) == OFLAG_COPIED && namesCluster(entry);
    }

    /** Whether an entry that is not compressed names a cluster. In an external data file the first one is at offset 0. */
    private boolean namesCluster(long entry) {
        return (entry & OFFSET_MASK) != 0 || (hasDataFile && (entry & OFLAG_COPIED) != 0);
    }

    /** Whether bytes of the cluster may be written where the entry says, without further ado. */
    boolean isInPlace(L2Entry e, long fromBytes, long toBytes) {
        if (!isOwn(e.entry)) {
            return false;
        }
        if (hasSubclusters) {
            long touched = touched(fromBytes, toBytes);
            return (e.bitmap & touched) == touched;
        }
        return !(hasZeroFlag && (e.entry & OFLAG_ZERO) != 0);
    }

    /** Whether an own cluster is marked as zeroes as a whole, so that its old content counts for nothing. */
    boolean isZeroed(L2Entry e) {
        return hasZeroFlag && (e.entry & OFLAG_ZERO) != 0;
    }

    /** Whether two entries name the same cluster, or none. */
    static boolean namesSame(long entry, long other) {
        return ((entry ^ other) & (OFFSET_MASK | OFLAG_COMPRESSED)) == 0;
    }

    /** The subclusters that these bytes of a cluster lie in, as bits of {@code SUBCLUSTERS_ALLOCATED}. */
    long touched(long fromBytes, long toBytes) {
        int first = (int) ((fromBytes & clusterMask) >>> subclusterBits);
        int last = (int) (((toBytes - 1) & clusterMask) >>> subclusterBits);
        return (2L << last) - (1L << first);
    }

    /** Whether an own cluster has subclusters that must be allocated in it first. */
    boolean isPartlyAllocated(L2Entry e) {
        return hasSubclusters && isOwn(e.entry);
    }

    /** Whether data of the guest stands in this image's clusters behind the entry. */
    boolean holdsOwnData(L2Entry e) {
        if ((e.entry & OFLAG_COMPRESSED) != 0) {
            return true;
        }
        if (hasSubclusters) {
            return (e.bitmap & SUBCLUSTERS_ALLOCATED) != 0;
        }
        return namesCluster(e.entry) && !(hasZeroFlag && (e.entry & OFLAG_ZERO) != 0);
    }

    /** Whether a cluster may read as something else than zeroes. */
    boolean mayHoldData(L2Entry e, long guestOffset) {
        if (holdsOwnData(e)) {
            return true;
        }
        if (!reachesBacking(guestOffset & ~clusterMask)) {
            return false;
        }
        return hasSubclusters
                ? (e.bitmap & SUBCLUSTERS_ZERO) != SUBCLUSTERS_ZERO
                : !(hasZeroFlag && (e.entry & OFLAG_ZERO) != 0);
    }

    /** Whether these bytes of a cluster surely read as zeroes. */
    boolean isZero(L2Entry e, long fromBytes, long toBytes) {
        if (!hasSubclusters || (e.entry & OFLAG_COMPRESSED) != 0) {
            return !mayHoldData(e, fromBytes);
        }
        long touched = touched(fromBytes, toBytes);
        if ((e.bitmap & touched) != 0) {
            return false;
        }
        return !reachesBacking(fromBytes & ~clusterMask) || (e.bitmap >>> SUBCLUSTERS_PER_CLUSTER & touched) == touched;
    }

    /** From where on a new cluster must be filled before bytes that begin at {@code at}: from its start, or a subcluster's. */
    long copyStart(L2Entry e, long at) {
        if (!hasSubclusters || holdsOwnData(e)) {
            return mayHoldData(e, at) ? at & ~clusterMask : at;
        }
        long start = at & -(1L << subclusterBits);
        return isZero(e, start, at + 1) ? at : start;
    }

    /** Up to where a new cluster must be filled behind bytes that end at {@code end}. */
    long copyEnd(L2Entry e, long end) {
        if (!hasSubclusters || holdsOwnData(e)) {
            return mayHoldData(e, end - 1) ? (end + clusterMask) & ~clusterMask : end;
        }
        long stop = (end + (1L << subclusterBits) - 1) & -(1L << subclusterBits);
        return isZero(e, end - 1, stop) ? end : stop;
    }

    /** From where on an own cluster must be filled before bytes in it: from the start of their subcluster if that is new. */
    long fillStart(L2Entry e, long at) {
        return (e.bitmap & touched(at, at + 1)) != 0 ? at : at & -(1L << subclusterBits);
    }

    /** Up to where an own cluster must be filled behind bytes in it. */
    long fillEnd(L2Entry e, long end) {
        long unit = 1L << subclusterBits;
        return (e.bitmap & touched(end - 1, end)) != 0 ? end : (end + unit - 1) & -unit;
    }

    /** The subclusters' bits once a new cluster has these bytes: everything if old data was copied into it, too. */
    long newBitmap(L2Entry e, long fromBytes, long toBytes) {
        if (holdsOwnData(e)) {
            return SUBCLUSTERS_ALLOCATED;
        }
        long touched = touched(fromBytes, toBytes);
        return touched | (e.bitmap & SUBCLUSTERS_ZERO & ~(touched << SUBCLUSTERS_PER_CLUSTER));
    }

    /** The subclusters' bits once these bytes of an own cluster are there as well. */
    long filledBitmap(L2Entry e, long fromBytes, long toBytes) {
        long touched = touched(fromBytes, toBytes);
        return (e.bitmap | touched) & ~(touched << SUBCLUSTERS_PER_CLUSTER);
    }

    /**
     * Turns an entry into one whose cluster reads as zeroes; it stays as it is where it does so already.
     *
     * @param unmap whether the cluster is given back even if it could stay
     */
    void zero(L2Entry e, long guestOffset, boolean unmap) {
        boolean keeps = isOwn(e.entry) && !unmap;
        if (!mayHoldData(e, guestOffset) && (keeps || !namesCluster(e.entry))) {
            return;
        }
        if (hasSubclusters) {
            e.entry = keeps ? e.entry : 0;
            e.bitmap = SUBCLUSTERS_ZERO;
        } else if (hasZeroFlag) {
            e.entry = keeps ? e.entry | OFLAG_ZERO : OFLAG_ZERO;
        } else {
            e.entry = 0;
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import dev.vublk.blockdev.qcow2.MappedRun.Kind;
import org.jspecify.annotations.Nullable;

/**
 * Finds where bytes of the disk stand, by the tables of one image. Any thread; a lookup of what is in the cache takes no lock and
 * allocates nothing, else it waits on the caller's loop.
 *
 * <pre>
 *   guest offset -> L1 entry -> slice of an L2 table -> entry [-> subcluster] -> run of bytes that belong together
 * </pre>
 *
 * <p>Entries are untrusted: an offset that is none, or a flag that must not be there, is {@link #CORRUPT}. A run ends at the end of a
 * slice at the latest.
 */
final class ClusterMap {
    /** What an entry that makes no sense is: unlike every errno, for a table that cannot be read is no such entry. */
    static final int CORRUPT = Integer.MIN_VALUE;

    private static final long NOWHERE = -1;

    private final L1Table l1;
    private final L2Cache cache;
    private final int clusterBits;
    private final long clusterMask;
    private final int l2Bits;
    private final boolean hasZeroFlag;
    private final boolean hasDataFile;
    private final boolean hasSubclusters;
    private final int subclusterBits;

    ClusterMap(Qcow2Header header, L1Table l1, L2Cache cache) {
        this.l1 = l1;
        this.cache = cache;
        this.clusterBits = header.clusterBits();
        this.clusterMask = header.clusterBytes() - 1L;
        this.l2Bits = header.l2Bits();
        this.hasZeroFlag = header.version() >= Qcow2Layout.VERSION_3;
        this.hasDataFile = header.hasDataFile();
        this.hasSubclusters = header.hasSubclusters();
        this.subclusterBits = clusterBits - Integer.numberOfTrailingZeros(Qcow2Layout.SUBCLUSTERS_PER_CLUSTER);
    }

    /**
     * Finds the first run of a range that lies within the disk.
     *
     * @param file for tables that are not in memory
     * @return 0, {@link #CORRUPT}, or a negative errno
     */
    int find(MetadataFile file, long guestOffset, long lengthBytes, MappedRun out) {
        while (true) {
            int l1Index = cache.l1Index(guestOffset);
            long table = l1.tableOffset(l1Index);
            if (table == 0) {
                long end = (l1Index + 1L) << (clusterBits + l2Bits);
                set(out, Kind.UNALLOCATED, NOWHERE, Math.min(lengthBytes, end - guestOffset));
                return 0;
            }
            L2Slice slice = cache.find(guestOffset);
            if (slice != null) {
                return hasSubclusters
                        ? findSubclusters(slice, guestOffset, lengthBytes, out)
                        : findClusters(slice, guestOffset, lengthBytes, out);
            }
            if ((table & clusterMask) != 0) {
                return CORRUPT;
            }
            int result = cache.load(file, guestOffset);
            if (result < 0) {
                return result;
            }
        }
    }

    private static void set(MappedRun out, Kind kind, long hostOffset, long lengthBytes) {
        out.kind = kind;
        out.hostOffset = hostOffset;
        out.lengthBytes = lengthBytes;
    }

    private int findClusters(L2Slice slice, long guestOffset, long lengthBytes, MappedRun out) {
        int index = cache.entryIndex(guestOffset);
        long entry = slice.entry(index);
        Kind kind = kind(entry);
        if (kind == null) {
            return CORRUPT;
        }
        long inCluster = guestOffset & clusterMask;
        long found = clusterMask + 1 - inCluster;
        out.entry = entry;
        if (kind != Kind.COMPRESSED) {
            int count = slice.entryCount();
            long host = entry & Qcow2Layout.OFFSET_MASK;
            while (found < lengthBytes && ++index < count) {
                long next = slice.entry(index);
                host += clusterMask + 1;
                if (kind(next) != kind || (kind == Kind.DATA && (next & Qcow2Layout.OFFSET_MASK) != host)) {
                    break;
                }
                found += clusterMask + 1;
            }
        }
        set(out, kind, hostOffset(kind, entry, inCluster), Math.min(found, lengthBytes));
        return 0;
    }

    private static long hostOffset(Kind kind, long entry, long inCluster) {
        long host = entry & Qcow2Layout.OFFSET_MASK;
        boolean somewhere = kind == Kind.DATA || (kind == Kind.ZERO && host != 0);
        return somewhere ? host + inCluster : NOWHERE;
    }

    /** What an entry without subclusters says; null when that makes no sense. */
    private @Nullable Kind kind(long entry) {
        if ((entry & Qcow2Layout.OFLAG_COMPRESSED) != 0) {
            return hasDataFile ? null : Kind.COMPRESSED;
        }
        if ((entry & Qcow2Layout.OFFSET_MASK & clusterMask) != 0) {
            return null;
        }
        if ((entry & Qcow2Layout.OFLAG_ZERO) != 0) {
            return hasZeroFlag ? Kind.ZERO : null;
        }
        return isAllocated(entry) ? Kind.DATA : Kind.UNALLOCATED;
    }

    /** In an external data file, offset 0 is a place like any other, and the other flag tells. */
    private boolean isAllocated(long entry) {
        return (entry & Qcow2Layout.OFFSET_MASK) != 0 || (hasDataFile && (entry & Qcow2Layout.OFLAG_COPIED) != 0);
    }

    private int findSubclusters(L2Slice slice, long guestOffset, long lengthBytes, MappedRun out) {
        int index = cache.entryIndex(guestOffset);
        slice.read(index, out.first);
        long entry = out.first.entry;
        if (!isSound(out.first)) {
            return CORRUPT;
        }
        long inCluster = guestOffset & clusterMask;
        out.entry = entry;
        if ((entry & Qcow2Layout.OFLAG_COMPRESSED) != 0) {
            set(out, Kind.COMPRESSED, NOWHERE, Math.min(clusterMask + 1 - inCluster, lengthBytes));
            return 0;
        }
        int sub = (int) (inCluster >>> subclusterBits);
        Kind kind = subclusterKind(out.first.bitmap, sub);
        long found = ((long) sameFrom(out.first.bitmap, sub) << subclusterBits) - inCluster;
        int count = slice.entryCount();
        long host = entry & Qcow2Layout.OFFSET_MASK;
        while (found < lengthBytes && ((guestOffset + found) & clusterMask) == 0 && ++index < count) {
            slice.read(index, out.next);
            host += clusterMask + 1;
            if (!isSound(out.next)
                    || (out.next.entry & Qcow2Layout.OFLAG_COMPRESSED) != 0
                    || subclusterKind(out.next.bitmap, 0) != kind
                    || (kind == Kind.DATA && (out.next.entry & Qcow2Layout.OFFSET_MASK) != host)) {
                break;
            }
            found += (long) sameFrom(out.next.bitmap, 0) << subclusterBits;
        }
        boolean somewhere = kind == Kind.DATA || (kind == Kind.ZERO && isAllocated(entry));
        set(
                out,
                kind,
                somewhere ? (entry & Qcow2Layout.OFFSET_MASK) + inCluster : NOWHERE,
                Math.min(found, lengthBytes));
        return 0;
    }

    /** Whether an entry with subclusters makes sense: a subcluster is not both, and none is allocated in no cluster. */
    private boolean isSound(L2Entry e) {
        if ((e.entry & Qcow2Layout.OFLAG_COMPRESSED) != 0) {
            return !hasDataFile;
        }
        if ((e.entry & Qcow2Layout.OFFSET_MASK & clusterMask) != 0
                || (e.bitmap & e.bitmap >>> Qcow2Layout.SUBCLUSTERS_PER_CLUSTER) != 0) {
            return false;
        }
        return isAllocated(e.entry) || (e.bitmap & Qcow2Layout.SUBCLUSTERS_ALLOCATED) == 0;
    }

    private static Kind subclusterKind(long bitmap, int sub) {
        if ((bitmap >>> sub & 1) != 0) {
            return Kind.DATA;
        }
        return (bitmap >>> (Qcow2Layout.SUBCLUSTERS_PER_CLUSTER + sub) & 1) != 0 ? Kind.ZERO : Kind.UNALLOCATED;
    }

    /** The first subcluster behind {@code sub} that is of another kind, or 32. */
    private static int sameFrom(long bitmap, int sub) {
        long allocated = bitmap & Qcow2Layout.SUBCLUSTERS_ALLOCATED;
        long zero = bitmap >>> Qcow2Layout.SUBCLUSTERS_PER_CLUSTER;
        long other = differs(allocated, sub) | differs(zero, sub);
        return Math.min(Qcow2Layout.SUBCLUSTERS_PER_CLUSTER, Long.numberOfTrailingZeros(other & ~((2L << sub) - 1)));
    }

    /** The bits that are not as bit {@code sub} is. */
    private static long differs(long bits, int sub) {
        return (bits >>> sub & 1) != 0 ? ~bits : bits;
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.memory;

import java.util.Arrays;
import java.util.stream.IntStream;

/**
 * An immutable snapshot of the guest's memory: guest or front-end user address plus length to host address.
 *
 * <p>A changed table is a new snapshot, never a changed one. Translation may be called on any thread as long as the
 * regions are mapped; the session unmaps a region only when every queue has let go of the snapshots that hold it.
 */
public final class GuestMemory {
    /** No such memory: part of the range lies outside every region, or in two of them. */
    public static final long UNMAPPED = -1;

    /** The empty memory of a session before its first table. */
    public static final GuestMemory EMPTY = new GuestMemory(new long[0], new long[0], new long[0], new long[0]);

    /** Regions looked at one after the other; with more (hot-plugged memory), the rest are searched. Arbitrary. */
    private static final int SCANNED_MAX = 8;

    private final long[] guestAddresses;
    private final long[] sizes;
    private final long[] userAddresses;
    private final long[] hostAddresses;

    private final int scannedCount;

    /** Pages of regions that are mapped here a second time: host address, guest address, length, and so on. */
    private final long[] aliases;

    /** Region indexes by ascending unsigned guest address; empty when all regions are scanned. */
    private final int[] byGuestAddress;

    /**
     * Parallel arrays, one entry a region, the most used ones first; the caller has checked that regions neither wrap nor
     * overlap.
     */
    GuestMemory(long[] guestAddresses, long[] sizes, long[] userAddresses, long[] hostAddresses) {
        this(guestAddresses, sizes, userAddresses, hostAddresses, new long[0]);
    }

    private GuestMemory(
            long[] guestAddresses, long[] sizes, long[] userAddresses, long[] hostAddresses, long[] aliases) {
        this.aliases = aliases;
        this.guestAddresses = guestAddresses;
        this.sizes = sizes;
        this.userAddresses = userAddresses;
        this.hostAddresses = hostAddresses;
        this.scannedCount = Math.min(sizes.length, SCANNED_MAX);
        this.byGuestAddress = sizes.length <= SCANNED_MAX
                ? new int[0]
                : IntStream.range(0, sizes.length)
                        .boxed()
                        .sorted((a, b) -> Long.compareUnsigned(guestAddresses[a], guestAddresses[b]))
                        .mapToInt(Integer::intValue)
                        .toArray();
    }

    /**
     * The host address of a guest-physical range that lies whole in one region, or {@link #UNMAPPED}.
     *
     * @param lengthBytes 0 or more; an empty range must still start inside a region
     */
    public long translate(long guestAddress, long lengthBytes) {
        for (int i = 0; i < scannedCount; i++) {
            long offset = guestAddress - guestAddresses[i];
            if (offset >= 0 && offset < sizes[i] && lengthBytes <= sizes[i] - offset) {
                return hostAddresses[i] + offset;
            }
        }
        return byGuestAddress.length == 0 ? UNMAPPED : searchAndTranslate(guestAddress, lengthBytes);
    }

    private long searchAndTranslate(long guestAddress, long lengthBytes) {
        int i = search(guestAddress);
        return i < 0 || lengthBytes > sizes[i] - (guestAddress - guestAddresses[i])
                ? UNMAPPED
                : hostAddresses[i] + (guestAddress - guestAddresses[i]);
    }

    /** How many bytes from {@code guestAddress} on lie in the region that holds it; 0 when none does. */
    public long contiguousBytes(long guestAddress) {
        for (int i = 0; i < scannedCount; i++) {
            long offset = guestAddress - guestAddresses[i];
            if (offset >= 0 && offset < sizes[i]) {
                return sizes[i] - offset;
            }
        }
        int i = search(guestAddress);
        return i < 0 ? 0 : sizes[i] - (guestAddress - guestAddresses[i]);
    }

    /** The region that holds a guest address, or -1: the last one that begins at or before it, if it reaches so far. */
    private int search(long guestAddress) {
        int low = 0;
        int high = byGuestAddress.length;
        while (low < high) {
            int middle = (low + high) >>> 1;
            if (Long.compareUnsigned(guestAddresses[byGuestAddress[middle]], guestAddress) <= 0) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        if (low == 0) {
            return -1;
        }
        int found = byGuestAddress[low - 1];
        long offset = guestAddress - guestAddresses[found];
        return offset >= 0 && offset < sizes[found] ? found : -1;
    }

    /** As {@link #translate}, from an address in the front end's own address space (ring addresses are given so). */
    public long translateUser(long userAddress, long lengthBytes) {
        for (int i = 0; i < sizes.length; i++) {
            long offset = userAddress - userAddresses[i];
            if (offset >= 0 && offset < sizes[i] && lengthBytes <= sizes[i] - offset) {
                return hostAddresses[i] + offset;
            }
        }
        return UNMAPPED;
    }

    /** The guest address of a host address that {@link #translate} has returned; a snapshot that holds its region is asked. */
    public long toGuestAddress(long hostAddress) {
        for (int i = 0; i < sizes.length; i++) {
            long offset = hostAddress - hostAddresses[i];
            if (offset >= 0 && offset < sizes[i]) {
                return guestAddresses[i] + offset;
            }
        }
        for (int i = 0; i < aliases.length; i += 3) {
            long offset = hostAddress - aliases[i];
            if (offset >= 0 && offset < aliases[i + 2]) {
                return aliases[i + 1] + offset;
            }
        }
        throw new IllegalArgumentException("0x" + Long.toHexString(hostAddress) + " is not the guest's");
    }

    /** The same, with a piece that {@link #toGuestAddress} is to find at a second host address. */
    GuestMemory withAlias(long hostAddress, long guestAddress, long lengthBytes) {
        long[] more = Arrays.copyOf(aliases, aliases.length + 3);
        more[aliases.length] = hostAddress;
        more[aliases.length + 1] = guestAddress;
        more[aliases.length + 2] = lengthBytes;
        return new GuestMemory(guestAddresses, sizes, userAddresses, hostAddresses, more);
    }

    public int regionCount() {
        return sizes.length;
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.memory;

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

    private final long[] guestAddresses;
    private final long[] sizes;
    private final long[] userAddresses;
    private final long[] hostAddresses;

    /** Parallel arrays, one entry a region; the caller has checked that regions neither wrap nor overlap. */
    GuestMemory(long[] guestAddresses, long[] sizes, long[] userAddresses, long[] hostAddresses) {
        this.guestAddresses = guestAddresses;
        this.sizes = sizes;
        this.userAddresses = userAddresses;
        this.hostAddresses = hostAddresses;
    }

    /**
     * The host address of a guest-physical range that lies whole in one region, or {@link #UNMAPPED}.
     *
     * @param lengthBytes 0 or more; an empty range must still start inside a region
     */
    public long translate(long guestAddress, long lengthBytes) {
        for (int i = 0; i < sizes.length; i++) {
            long offset = guestAddress - guestAddresses[i];
            if (offset >= 0 && offset < sizes[i] && lengthBytes <= sizes[i] - offset) {
                return hostAddresses[i] + offset;
            }
        }
        return UNMAPPED;
    }

    /** How many bytes from {@code guestAddress} on lie in the region that holds it; 0 when none does. */
    public long contiguousBytes(long guestAddress) {
        for (int i = 0; i < sizes.length; i++) {
            long offset = guestAddress - guestAddresses[i];
            if (offset >= 0 && offset < sizes[i]) {
                return sizes[i] - offset;
            }
        }
        return 0;
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

    public int regionCount() {
        return sizes.length;
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.memory;

import dev.vublk.vhostuser.protocol.IotlbMessage;
import dev.vublk.vhostuser.protocol.VhostUserProtocolException;

/**
 * The translations of the guest's IOMMU that one session knows (VIRTIO_F_ACCESS_PLATFORM). Changed on the control loop; every
 * IOThread reads {@link #map} without locks.
 *
 * <p>It is a cache: what is not in it is asked for. What was forgotten for want of room is asked for again; nobody relies upon
 * a mapping being in it, so what requests in flight use is not looked for here but told by them.
 */
public final class Iotlb {
    /** The smallest page of an IOMMU. Everything is kept in whole ones, so that to know any byte of a page is to know the page. */
    public static final long PAGE_BYTES = 4096;

    /** So many mappings are kept: 16 MiB if they are single pages far apart. A front end that tells of more wastes its time. */
    static final int MAPPINGS_MAX = 4096;

    private volatile IovaMap map = IovaMap.EMPTY;
    private long losses;
    private long updates;
    private long invalidations;
    /** Spreads what is forgotten over the table. */
    private int forgotten;

    /** What is known now. Any thread. */
    public IovaMap map() {
        return map;
    }

    /** An UPDATE: whole pages, which have to lie in one region of memory. */
    public void update(IotlbMessage message, GuestMemory memory) throws VhostUserProtocolException {
        long host = message.sizeBytes() <= 0
                ? GuestMemory.UNMAPPED
                : memory.translateUser(message.userAddress(), message.sizeBytes());
        if (host == GuestMemory.UNMAPPED) {
            throw new VhostUserProtocolException("IOTLB update to outside the guest's memory");
        }
        if (((message.iova() | message.sizeBytes()) & (PAGE_BYTES - 1)) != 0) {
            throw new VhostUserProtocolException("IOTLB update of less than a page");
        }
        if (message.wraps() || message.permission() < IotlbMessage.RO || message.permission() > IotlbMessage.RW) {
            throw new VhostUserProtocolException("IOTLB update of an impossible range or permission");
        }
        updates++;
        put(message.iova(), message.lastIova(), message.userAddress(), host, message.permission());
    }

    /** Pages of the guest that lie at a host address, by their own addresses, for reading and writing. */
    public void putGuestPages(long guestAddress, long lengthBytes, long hostAddress) {
        put(guestAddress, guestAddress + lengthBytes - 1, guestAddress, hostAddress, IotlbMessage.RW);
    }

    private void put(long first, long last, long userAddress, long hostAddress, int permission) {
        IovaMap changed = map;
        while (changed.count() >= MAPPINGS_MAX) {
            // Any would do. Not always the same, and not one behind the other.
            changed = changed.withoutMapping(Integer.remainderUnsigned(forgotten++ * 0x9e3779b9, changed.count()));
            losses++;
        }
        map = changed.with(first, last, userAddress, hostAddress, permission);
    }

    /** An INVALIDATE, of whole pages. Queues may still use what they have read before. */
    public void invalidate(long firstIova, long lastIova) {
        invalidations++;
        losses++;
        map = map.without(firstIova & -PAGE_BYTES, lastIova | (PAGE_BYTES - 1));
    }

    /** Forgets everything: the front end no longer tells what becomes invalid. */
    public void clear() {
        losses++;
        map = IovaMap.EMPTY;
    }

    /** The guest's memory lies elsewhere from now on. No queue runs. */
    public void rebase(GuestMemory memory) {
        losses++;
        map = map.rebased(memory);
    }

    /**
     * Grows whenever something may have been lost: a translation that is not there although the front end says that it sent it
     * is refused only if this is what it was when it was asked for.
     */
    public long losses() {
        return losses;
    }

    public long updates() {
        return updates;
    }

    public long invalidations() {
        return invalidations;
    }
}

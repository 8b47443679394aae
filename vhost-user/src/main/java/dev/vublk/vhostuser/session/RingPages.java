// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.session;

import dev.vublk.vhostuser.memory.GuestMemory;
import dev.vublk.vhostuser.memory.Iotlb;
import dev.vublk.vhostuser.protocol.VhostUserProtocolException;
import dev.vublk.vhostuser.protocol.VringAddress;

/**
 * The table in which a ring's pages, and those of its buffers, have to be before they can be used: what the guest's IOMMU has
 * mapped, or what has come of a guest that migrates. Control loop.
 *
 * @param table by the addresses that are in descriptors
 * @param areRingsToo whether those of rings are such addresses too, and not the front end's
 */
record RingPages(Iotlb table, boolean areRingsToo) {
    /** Where the parts of a ring lie by the table's addresses. */
    VringAddress place(VringAddress at, GuestMemory memory, RingFormat format, int size)
            throws VhostUserProtocolException {
        if (areRingsToo) {
            return at;
        }
        return new VringAddress(
                at.index(),
                at.flags(),
                guestAddress(at.index(), memory, at.descUserAddress(), format.descBytes(size)),
                guestAddress(at.index(), memory, at.usedUserAddress(), format.usedBytes(size)),
                guestAddress(at.index(), memory, at.availUserAddress(), format.availBytes(size)),
                at.logGuestAddress());
    }

    private static long guestAddress(int index, GuestMemory memory, long userAddress, long lengthBytes)
            throws VhostUserProtocolException {
        return memory.toGuestAddress(translate(index, memory, userAddress, lengthBytes));
    }

    /** The host address of a part of a ring, which has to lie whole in one region. */
    static long translate(int index, GuestMemory memory, long userAddress, long lengthBytes)
            throws VhostUserProtocolException {
        long hostAddress = memory.translateUser(userAddress, lengthBytes);
        if (hostAddress == GuestMemory.UNMAPPED) {
            throw new VhostUserProtocolException(
                    "ring " + index + " at 0x" + Long.toHexString(userAddress) + " lies outside the guest's memory");
        }
        return hostAddress;
    }
}

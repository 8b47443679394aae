// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.memory;

import dev.vublk.vhostuser.linux.Errno;
import dev.vublk.vhostuser.linux.SharedMapping;
import dev.vublk.vhostuser.protocol.VhostUserProtocolException;

/**
 * Memory that the guest's driver sees in one piece through its IOMMU, in one piece here too: where its pages do not lie side by
 * side, they are mapped once more. For the parts of rings. Owns that mapping. Control loop.
 *
 * <pre>
 *   IOVA       | page 0 | page 1 | page 2 |         a ring of 1024 descriptors, say
 *   region     | page 1 | ...    | page 2 | page 0 |
 *   here       | page 0 | page 1 | page 2 |         the same pages: what is written to one is in the other
 * </pre>
 */
public final class IovaArea implements AutoCloseable {
    private static final int PAGE_BYTES = SharedMapping.PAGE_SIZE_BYTES;

    private final long hostAddress;
    /** Where the mapping of our own begins, and the pages of regions that are in it; none when it was not needed. */
    private final long mapAddress;

    private final long[] pages;

    private IovaArea(long hostAddress, long mapAddress, long... pages) {
        this.hostAddress = hostAddress;
        this.mapAddress = mapAddress;
        this.pages = pages;
    }

    /** The range, all of which {@code map} covers with that permission. */
    public static IovaArea of(IovaMap map, long iova, long lengthBytes, int permission)
            throws VhostUserProtocolException {
        long[] pages = pages(map, iova, lengthBytes, permission);
        int offset = (int) (iova & (PAGE_BYTES - 1));
        boolean contiguous = true;
        for (int i = 1; i < pages.length; i++) {
            contiguous &= pages[i] == pages[i - 1] + PAGE_BYTES;
        }
        if (contiguous) {
            return new IovaArea(pages[0] + offset, 0);
        }
        long mapAddress = mapAgain(pages);
        return new IovaArea(mapAddress + offset, mapAddress, pages);
    }

    /** Where each page begins in the regions as they are mapped. */
    private static long[] pages(IovaMap map, long iova, long lengthBytes, int permission)
            throws VhostUserProtocolException {
        long offset = iova & (PAGE_BYTES - 1);
        long[] pages = new long[(int) ((offset + lengthBytes + PAGE_BYTES - 1) / PAGE_BYTES)];
        for (int i = 0; i < pages.length; i++) {
            long inPage = i == 0 ? offset : 0;
            long at = iova - offset + (long) i * PAGE_BYTES + inPage;
            long needed = Math.min(PAGE_BYTES - inPage, iova + lengthBytes - at);
            int mapping = map.find(at, permission);
            if (mapping == IovaMap.UNMAPPED || map.bytesFrom(mapping, at) < needed) {
                throw new VhostUserProtocolException("ring at I/O address 0x" + Long.toHexString(iova)
                        + " is translated in pieces smaller than a page");
            }
            pages[i] = map.hostAddress(mapping, at) - inPage;
        }
        return pages;
    }

    private static long mapAgain(long... pages) throws VhostUserProtocolException {
        long length = (long) pages.length * PAGE_BYTES;
        long target = SharedMapping.reserve(length);
        long result = target;
        for (int i = 0; i < pages.length && result >= 0; i++) {
            result = pages[i] % PAGE_BYTES == 0
                    ? SharedMapping.alias(pages[i], PAGE_BYTES, target + (long) i * PAGE_BYTES)
                    : -Errno.EINVAL;
        }
        if (result < 0) {
            if (target >= 0) {
                SharedMapping.unmap(target, length);
            }
            throw new VhostUserProtocolException(
                    "a ring's scattered pages cannot be mapped side by side: " + Errno.describe((int) result));
        }
        return target;
    }

    public long hostAddress() {
        return hostAddress;
    }

    /** The guest's memory, with the pages as they are mapped here: for looking up what guest address a byte of the ring has. */
    public GuestMemory addTo(GuestMemory memory) {
        GuestMemory result = memory;
        for (int i = 0; i < pages.length; i++) {
            result = result.withAlias(mapAddress + (long) i * PAGE_BYTES, memory.toGuestAddress(pages[i]), PAGE_BYTES);
        }
        return result;
    }

    /** Unmaps what was mapped once more. The ring has stopped. */
    @Override
    public void close() {
        if (pages.length > 0) {
            SharedMapping.unmap(mapAddress, (long) pages.length * PAGE_BYTES);
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.memory;

import dev.vublk.vhostuser.protocol.MemoryRegionDescription;
import dev.vublk.vhostuser.protocol.VhostUserProtocolException;

/** One region of guest memory, mapped. Owns the mapping. Control loop. */
final class MemoryRegion implements AutoCloseable {
    private final MemoryRegionDescription description;
    private final FileMapping mapping;

    private MemoryRegion(MemoryRegionDescription description, FileMapping mapping) {
        this.description = description;
        this.mapping = mapping;
    }

    /** Maps what the description says of a file; {@code fd} stays the caller's to close. */
    static MemoryRegion map(MemoryRegionDescription description, int fd) throws VhostUserProtocolException {
        checkRange(description);
        return new MemoryRegion(
                description,
                FileMapping.map(description.toString(), fd, description.mmapOffsetBytes(), description.sizeBytes()));
    }

    private static void checkRange(MemoryRegionDescription description) throws VhostUserProtocolException {
        long size = description.sizeBytes();
        if (size <= 0) {
            throw new VhostUserProtocolException(description + " has an impossible size");
        }
        // The last byte, not the end: a region may reach up to the very top.
        if (Long.compareUnsigned(description.guestAddress() + (size - 1), description.guestAddress()) < 0
                || Long.compareUnsigned(description.userAddress() + (size - 1), description.userAddress()) < 0) {
            throw new VhostUserProtocolException(description + " wraps around the end of the address space");
        }
    }

    MemoryRegionDescription description() {
        return description;
    }

    long hostAddress() {
        return mapping.hostAddress();
    }

    FileMapping mapping() {
        return mapping;
    }

    boolean overlaps(MemoryRegion other) {
        MemoryRegionDescription theirs = other.description;
        return overlaps(description.guestAddress(), description.sizeBytes(), theirs.guestAddress(), theirs.sizeBytes())
                || overlaps(
                        description.userAddress(), description.sizeBytes(), theirs.userAddress(), theirs.sizeBytes());
    }

    /** Two ranges that do not wrap overlap when one begins inside the other. */
    private static boolean overlaps(long address, long size, long otherAddress, long otherSize) {
        return Long.compareUnsigned(address - otherAddress, otherSize) < 0
                || Long.compareUnsigned(otherAddress - address, size) < 0;
    }

    /** Unmaps. Every user must have let go: a later access ends the process. */
    @Override
    public void close() {
        mapping.close();
    }
}

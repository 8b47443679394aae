// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.memory;

import dev.vublk.vhostuser.linux.Errno;
import dev.vublk.vhostuser.linux.FileStatus;
import dev.vublk.vhostuser.linux.SharedMapping;
import dev.vublk.vhostuser.protocol.MemoryRegionDescription;
import dev.vublk.vhostuser.protocol.VhostUserProtocolException;
import org.jspecify.annotations.Nullable;

/**
 * One region of guest memory, mapped. Owns the mapping; the descriptor it was made from is no longer needed. Control loop.
 *
 * <pre>
 *   file      |--------|==page======|=================|======|--------|
 *                      ^            ^ mmap offset            ^ + size
 *   mapping            |mapAddress  |hostAddress             |      |
 * </pre>
 */
final class MemoryRegion implements AutoCloseable {
    private final MemoryRegionDescription description;
    private final long mapAddress;
    private final long mapLengthBytes;
    private final long hostAddress;
    private boolean mapped = true;

    private MemoryRegion(MemoryRegionDescription description, long mapAddress, long mapLengthBytes, long hostAddress) {
        this.description = description;
        this.mapAddress = mapAddress;
        this.mapLengthBytes = mapLengthBytes;
        this.hostAddress = hostAddress;
    }

    /** Maps what the description says of a file; {@code fd} stays the caller's to close. */
    static MemoryRegion map(MemoryRegionDescription description, int fd) throws VhostUserProtocolException {
        checkRange(description);
        FileStatus status = FileStatus.ofDescriptor(fd);
        checkFile(description, status);
        // mmap wants whole pages, and hugetlbfs whole huge pages, for offset and length alike. Beyond the region
        // nothing
        // is ever touched, so a too large alignment does no harm.
        long alignment = alignment(status);
        long mapOffset = description.mmapOffsetBytes() & -alignment;
        long delta = description.mmapOffsetBytes() - mapOffset;
        long mapLength = (delta + description.sizeBytes() + alignment - 1) & -alignment;
        long mapAddress = SharedMapping.map(fd, mapOffset, mapLength);
        if (mapAddress < 0) {
            throw new VhostUserProtocolException(
                    description + " cannot be mapped: " + Errno.describe((int) mapAddress));
        }
        return new MemoryRegion(description, mapAddress, mapLength, mapAddress + delta);
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
        // A quarter of the range is left for rounding up to pages.
        if (description.mmapOffsetBytes() < 0
                || size > Long.MAX_VALUE / 2
                || description.mmapOffsetBytes() > Long.MAX_VALUE / 2 - size) {
            throw new VhostUserProtocolException(description + " lies beyond the end of every file");
        }
    }

    private static void checkFile(MemoryRegionDescription description, @Nullable FileStatus status)
            throws VhostUserProtocolException {
        if (status == null) {
            throw new VhostUserProtocolException(description + " came with a descriptor that is no file");
        }
        // A device (DAX) has no length: mmap itself decides there.
        if (status.isRegularFile() && description.mmapOffsetBytes() + description.sizeBytes() > status.sizeBytes()) {
            throw new VhostUserProtocolException(
                    description + " ends beyond its file of " + status.sizeBytes() + " bytes");
        }
    }

    private static long alignment(@Nullable FileStatus status) {
        int blockSize = status == null ? 0 : status.blockSizeBytes();
        boolean usable = blockSize > SharedMapping.PAGE_SIZE_BYTES && Integer.bitCount(blockSize) == 1;
        return usable ? blockSize : SharedMapping.PAGE_SIZE_BYTES;
    }

    MemoryRegionDescription description() {
        return description;
    }

    long hostAddress() {
        return hostAddress;
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
        if (mapped) {
            mapped = false;
            int result = SharedMapping.unmap(mapAddress, mapLengthBytes);
            if (result < 0) {
                throw new IllegalStateException(description + ": munmap: " + Errno.describe(result));
            }
        }
    }
}

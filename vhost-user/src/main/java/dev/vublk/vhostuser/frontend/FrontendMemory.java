// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.frontend;

import dev.vublk.vhostuser.linux.Errno;
import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.linux.SharedMapping;
import dev.vublk.vhostuser.protocol.MemoryRegionDescription;
import java.io.IOException;

/**
 * A piece of a guest's memory as its front end holds it: a memory file, mapped here. Its user address is where it is mapped,
 * as with a real front end. Owns file and mapping.
 */
public final class FrontendMemory implements AutoCloseable {
    private final int fd;
    private final long guestAddress;
    private final long sizeBytes;
    private final long fileOffsetBytes;
    private final long mapAddress;
    private boolean open = true;

    private FrontendMemory(int fd, long guestAddress, long sizeBytes, long fileOffsetBytes, long mapAddress) {
        this.fd = fd;
        this.guestAddress = guestAddress;
        this.sizeBytes = sizeBytes;
        this.fileOffsetBytes = fileOffsetBytes;
        this.mapAddress = mapAddress;
    }

    /** Zeroed memory that the guest sees at {@code guestAddress}. */
    public static FrontendMemory create(long guestAddress, long sizeBytes) throws IOException {
        return create(guestAddress, sizeBytes, 0);
    }

    /** The same, beginning at any offset in its file. */
    public static FrontendMemory create(long guestAddress, long sizeBytes, long fileOffsetBytes) throws IOException {
        int fd = SharedMapping.createMemoryFile("vublk-guest", fileOffsetBytes + sizeBytes);
        if (fd < 0) {
            throw new IOException("memfd_create: " + Errno.describe(fd));
        }
        long mapAddress = SharedMapping.map(fd, 0, fileOffsetBytes + sizeBytes);
        if (mapAddress < 0) {
            FileDescriptor.close(fd);
            throw new IOException("mmap: " + Errno.describe((int) mapAddress));
        }
        return new FrontendMemory(fd, guestAddress, sizeBytes, fileOffsetBytes, mapAddress);
    }

    public int fd() {
        return fd;
    }

    public long guestAddress() {
        return guestAddress;
    }

    public long sizeBytes() {
        return sizeBytes;
    }

    /** Where the region begins in this process: its user address, to be touched as any memory. */
    public long hostAddress() {
        return mapAddress + fileOffsetBytes;
    }

    /** The guest address of one of this region's user addresses. */
    public long toGuestAddress(long hostAddress) {
        return hostAddress - hostAddress() + guestAddress;
    }

    public MemoryRegionDescription description() {
        return new MemoryRegionDescription(guestAddress, sizeBytes, hostAddress(), fileOffsetBytes);
    }

    @Override
    public void close() {
        if (open) {
            open = false;
            SharedMapping.unmap(mapAddress, fileOffsetBytes + sizeBytes);
            FileDescriptor.close(fd);
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.frontend;

import dev.vublk.vhostuser.linux.Errno;
import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.linux.SharedMapping;
import dev.vublk.vhostuser.memory.HostMemory;
import dev.vublk.vhostuser.protocol.LogRegion;
import java.io.IOException;
import java.util.Set;
import java.util.TreeSet;

/** A dirty log as a front end holds it: a memory file, mapped here. Owns both. One thread. */
public final class FrontendLog implements AutoCloseable {
    private final int fd;
    private final LogRegion region;
    private final long mapBytes;
    private final long mapAddress;

    private FrontendLog(int fd, LogRegion region, long mapBytes, long mapAddress) {
        this.fd = fd;
        this.region = region;
        this.mapBytes = mapBytes;
        this.mapAddress = mapAddress;
    }

    /** A log in a file that cannot shrink, as QEMU's. */
    public static FrontendLog create(LogRegion region) throws IOException {
        return create(region, true);
    }

    /** An empty log; {@code sealed} tells whether its file cannot shrink any more. */
    public static FrontendLog create(LogRegion region, boolean sealed) throws IOException {
        long mapBytes = region.mmapOffsetBytes() + region.sizeBytes();
        int fd = sealed
                ? SharedMapping.createSealedFile("vublk-log", mapBytes)
                : SharedMapping.createMemoryFile("vublk-log", mapBytes);
        if (fd < 0) {
            throw new IOException("memfd_create: " + Errno.describe(fd));
        }
        long mapAddress = SharedMapping.map(fd, 0, mapBytes);
        if (mapAddress < 0) {
            FileDescriptor.close(fd);
            throw new IOException("mmap: " + Errno.describe((int) mapAddress));
        }
        return new FrontendLog(fd, region, mapBytes, mapAddress);
    }

    public int fd() {
        return fd;
    }

    public LogRegion region() {
        return region;
    }

    /** The numbers of the pages that are marked. */
    public Set<Long> pages() {
        Set<Long> pages = new TreeSet<>();
        for (long i = 0; i < region.sizeBytes(); i++) {
            int bits = HostMemory.getByte(mapAddress + region.mmapOffsetBytes() + i) & 0xff;
            for (; bits != 0; bits &= bits - 1) {
                pages.add(Byte.SIZE * i + Integer.numberOfTrailingZeros(bits));
            }
        }
        return pages;
    }

    /** Whether a page is marked; one beyond the log is not. */
    public boolean isMarked(long page) {
        long index = page / Byte.SIZE;
        return index < region.sizeBytes()
                && (HostMemory.getByte(mapAddress + region.mmapOffsetBytes() + index) >>> page % Byte.SIZE & 1) != 0;
    }

    /** Forgets all marks. */
    public void clear() {
        HostMemory.fill(mapAddress, mapBytes, (byte) 0);
    }

    /** Whether no bit of the file outside of the log is set. */
    public boolean isCleanAround() {
        for (long i = 0; i < region.mmapOffsetBytes(); i++) {
            if (HostMemory.getByte(mapAddress + i) != 0) {
                return false;
            }
        }
        return true;
    }

    @Override
    public void close() {
        SharedMapping.unmap(mapAddress, mapBytes);
        FileDescriptor.close(fd);
    }
}

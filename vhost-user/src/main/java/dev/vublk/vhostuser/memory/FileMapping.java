// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.memory;

import dev.vublk.vhostuser.linux.Errno;
import dev.vublk.vhostuser.linux.FileStatus;
import dev.vublk.vhostuser.linux.SharedMapping;
import dev.vublk.vhostuser.protocol.VhostUserProtocolException;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * A part of a front end's file, mapped for reading and writing. Owns the mapping; the descriptor it was made from is no
 * longer needed. Control loop.
 *
 * <pre>
 *   file      |--------|==page======|=================|======|--------|
 *                      ^            ^ offset                 ^ + size
 *   mapping            |mapAddress  |hostAddress             |      |
 * </pre>
 */
public final class FileMapping implements AutoCloseable {
    /**
     * All mappings of the process together: half of the addresses that a process has (47 bits on x86-64 without asking for more).
     * A sparse file costs a front end nothing, and a virtual machine that finds no address for a thread's stack ends.
     */
    static final long MAPPED_BYTES_MAX = 1L << 46;

    private static final AtomicLong MAPPED_BYTES = new AtomicLong();

    private final String name;
    private final long mapAddress;
    private final long mapLengthBytes;
    private final long hostAddress;
    private boolean mapped = true;

    private FileMapping(String name, long mapAddress, long mapLengthBytes, long hostAddress) {
        this.name = name;
        this.mapAddress = mapAddress;
        this.mapLengthBytes = mapLengthBytes;
        this.hostAddress = hostAddress;
    }

    /**
     * Maps a part of a file; {@code fd} stays the caller's to close.
     *
     * @param name what it is, for messages
     */
    public static FileMapping map(String name, int fd, long offsetBytes, long sizeBytes)
            throws VhostUserProtocolException {
        // A quarter of the range is left for rounding up to pages.
        if (sizeBytes <= 0
                || offsetBytes < 0
                || sizeBytes > Long.MAX_VALUE / 2
                || offsetBytes > Long.MAX_VALUE / 2 - sizeBytes) {
            throw new VhostUserProtocolException(name + " lies beyond the end of every file");
        }
        FileStatus status = FileStatus.ofDescriptor(fd);
        checkFile(name, status, offsetBytes + sizeBytes);
        // mmap wants whole pages, and hugetlbfs whole huge pages, for offset and length alike. Beyond the region
        // nothing is ever touched, so a too large alignment does no harm.
        long alignment = alignment(status);
        long mapOffset = offsetBytes & -alignment;
        long delta = offsetBytes - mapOffset;
        long mapLength = (delta + sizeBytes + alignment - 1) & -alignment;
        if (MAPPED_BYTES.addAndGet(mapLength) > MAPPED_BYTES_MAX) {
            MAPPED_BYTES.addAndGet(-mapLength);
            throw new VhostUserProtocolException(name + " is too large to be mapped beside what is mapped already");
        }
        long mapAddress = SharedMapping.map(fd, mapOffset, mapLength);
        if (mapAddress < 0) {
            MAPPED_BYTES.addAndGet(-mapLength);
            throw new VhostUserProtocolException(name + " cannot be mapped: " + Errno.describe((int) mapAddress));
        }
        return new FileMapping(name, mapAddress, mapLength, mapAddress + delta);
    }

    private static void checkFile(String name, @Nullable FileStatus status, long endBytes)
            throws VhostUserProtocolException {
        if (status == null) {
            throw new VhostUserProtocolException(name + " came with a descriptor that is no file");
        }
        // A device (DAX) has no length: mmap itself decides there.
        if (status.isRegularFile() && endBytes > status.sizeBytes()) {
            throw new VhostUserProtocolException(name + " ends beyond its file of " + status.sizeBytes() + " bytes");
        }
    }

    private static long alignment(@Nullable FileStatus status) {
        int blockSize = status == null ? 0 : status.blockSizeBytes();
        boolean usable = blockSize > SharedMapping.PAGE_SIZE_BYTES && Integer.bitCount(blockSize) == 1;
        return usable ? blockSize : SharedMapping.PAGE_SIZE_BYTES;
    }

    /** Where the part begins in this process. */
    public long hostAddress() {
        return hostAddress;
    }

    /** Where the mapping begins: at whole pages of the file, at or before {@link #hostAddress}. */
    public long mapAddress() {
        return mapAddress;
    }

    /** Whole pages of the file. */
    public long mapLengthBytes() {
        return mapLengthBytes;
    }

    /** Unmaps. Every user must have let go: a later access ends the process. */
    @Override
    public void close() {
        if (mapped) {
            mapped = false;
            MAPPED_BYTES.addAndGet(-mapLengthBytes);
            int result = SharedMapping.unmap(mapAddress, mapLengthBytes);
            if (result < 0) {
                throw new IllegalStateException(name + ": munmap: " + Errno.describe(result));
            }
        }
    }
}

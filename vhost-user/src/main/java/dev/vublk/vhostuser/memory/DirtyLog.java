// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.memory;

import dev.vublk.vhostuser.linux.Errno;
import dev.vublk.vhostuser.linux.FileStatus;
import dev.vublk.vhostuser.linux.KernelAtomic;
import dev.vublk.vhostuser.linux.SharedMapping;
import dev.vublk.vhostuser.protocol.LogRegion;
import dev.vublk.vhostuser.protocol.VhostUserProtocolException;

/**
 * The log of the guest's pages that the device has written (vhost-user, "Migration"), in memory shared with the front end,
 * which clears what it has seen. Page {@code n} of guest memory is bit {@code n % 8} of byte {@code n / 8}.
 *
 * <p>Pages are marked on any thread; it is mapped and closed on the control loop, closed when no queue uses it any more.
 * Several back ends may share one log: bits are only ever set, atomically.
 */
public final class DirtyLog implements AutoCloseable {
    /** VHOST_LOG_PAGE: what a bit stands for, whatever the size of the host's pages. */
    public static final int PAGE_BYTES = 4096;

    private static final int PAGE_SHIFT = 12;

    private final FileMapping file;

    /** Where the log would begin if it began at a long: bits are set a long at a time. */
    private final long alignedAddress;

    /** Bits between the two. */
    private final long bitOffset;

    private final long pageCount;

    /**
     * Whether the memory cannot vanish under us: a sealed memory file of ordinary pages, as QEMU's log is. For any other
     * the kernel sets the bits, which costs a system call for each but survives.
     */
    private final boolean lasting;

    private DirtyLog(FileMapping file, long sizeBytes, boolean lasting) {
        this.file = file;
        this.lasting = lasting;
        alignedAddress = file.hostAddress() & -Long.BYTES;
        bitOffset = (file.hostAddress() - alignedAddress) * Byte.SIZE;
        // A log of so many pages that this overflows cannot be mapped.
        pageCount = sizeBytes * Byte.SIZE;
    }

    /** Maps the log that SET_LOG_BASE describes; {@code fd} stays the caller's to close. */
    public static DirtyLog map(LogRegion region, int fd) throws VhostUserProtocolException {
        // Beyond this the guest's address space ends; it also keeps the number of bits a positive long.
        if (region.sizeBytes() > Long.MAX_VALUE / Byte.SIZE / PAGE_BYTES) {
            throw new VhostUserProtocolException(region + " is larger than any guest needs");
        }
        FileMapping file = FileMapping.map(region.toString(), fd, region.mmapOffsetBytes(), region.sizeBytes());
        FileStatus status = FileStatus.ofDescriptor(fd);
        // A page of a sealed file can still be given back; an ordinary one comes again when it is touched, a huge one
        // may not.
        boolean ordinaryPages = status != null && status.blockSizeBytes() <= SharedMapping.PAGE_SIZE_BYTES;
        return new DirtyLog(file, region.sizeBytes(), ordinaryPages && SharedMapping.isUnshrinkable(fd));
    }

    /**
     * Marks every page of a guest-physical range that has been written. What lies beyond the log is left out: its size is
     * the front end's to choose.
     *
     * @throws InternalError the log's memory has been taken away
     */
    public void markWritten(long guestAddress, long lengthBytes) {
        long first = guestAddress >>> PAGE_SHIFT;
        long last = Math.min((guestAddress + lengthBytes - 1) >>> PAGE_SHIFT, pageCount - 1);
        if (lengthBytes <= 0) {
            return;
        }
        long page = first;
        while (page <= last) {
            long bit = bitOffset + page;
            int inLong = (int) (bit & (Long.SIZE - 1));
            long count = Math.min(Long.SIZE - inLong, last - page + 1);
            long mask = -1L >>> (Long.SIZE - count) << inLong;
            or(alignedAddress + (bit - inLong) / Byte.SIZE, mask);
            page += count;
        }
    }

    /** The long lies in a mapped page, though perhaps not whole in the log: no bit outside of it is set. */
    private void or(long address, long mask) {
        if (lasting) {
            HostMemory.orLong(address, mask);
            return;
        }
        // Little-endian: the low half comes first.
        int result = KernelAtomic.or(address, (int) mask);
        if (result == 0) {
            result = KernelAtomic.or(address + Integer.BYTES, (int) (mask >>> Integer.SIZE));
        }
        if (result < 0) {
            throw new InternalError("the dirty log is gone: " + Errno.describe(result));
        }
    }

    /** Unmaps. No queue may use the log any more. */
    @Override
    public void close() {
        file.close();
    }
}

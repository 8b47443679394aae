// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.virtqueue;

import dev.vublk.vhostuser.memory.GuestMemory;
import java.lang.foreign.Arena;
import org.jspecify.annotations.Nullable;

/**
 * One chain taken from a virtqueue: checked host buffers, first those that the device reads, then those that it writes.
 * Reused for request after request; owned by one loop.
 *
 * <p>How the driver cut its request into buffers means nothing (virtio 1.2 section 2.7.4.1, free framing): the two halves
 * are byte streams. A device cuts its header off the first and its status off the second.
 *
 * <p>A chain with buffers that the guest's IOMMU does not let the device use seems to have nothing to read, and of its writable
 * part there is one buffer at most, the last byte: room for the answer that it cannot be served.
 */
public final class DescriptorChain {
    private final IoVectors buffers;
    private final Arena arena;
    private final int bufferCountMax;

    /** Which I/O virtual addresses the buffers have, as base and length; null before the first. */
    private @Nullable IoVectors iovas;

    int headIndex;
    /** Descriptors of a packed ring that the chain took there: how far its used descriptor moves the ring on. */
    int ringSlots;

    /** Where a packed ring's in-flight block has the chain, when there is one. */
    int inflightEntry;

    /** For the walk through the descriptors: whether a writable one came, and the length of all so far. */
    boolean sawWritable;

    long totalBytes;
    int readableCount;
    long readableBytes;
    long writableBytes;

    /**
     * @param bufferCountMax longest chain that is accepted, in buffers (a buffer that crosses regions counts as several)
     */
    public DescriptorChain(Arena arena, int bufferCountMax) {
        this.arena = arena;
        this.bufferCountMax = bufferCountMax;
        buffers = new IoVectors(arena, bufferCountMax);
    }

    void clear(int newHeadIndex) {
        headIndex = newHeadIndex;
        sawWritable = false;
        totalBytes = 0;
        readableCount = 0;
        readableBytes = 0;
        writableBytes = 0;
        buffers.clear();
    }

    /** Appends a buffer; returns false when the chain is too long. Readable ones come first. */
    boolean add(long hostAddress, long lengthBytes, boolean writable) {
        if (!buffers.add(hostAddress, lengthBytes)) {
            return false;
        }
        if (writable) {
            writableBytes += lengthBytes;
        } else {
            readableCount++;
            readableBytes += lengthBytes;
        }
        return true;
    }

    /** As {@link #add}; a piece that follows on the one before makes that one longer. */
    boolean addPiece(long hostAddress, long lengthBytes, boolean writable) {
        int last = buffers.count() - 1;
        boolean sameKind = last >= (writable ? readableCount : 0);
        if (!sameKind || buffers.base(last) + buffers.length(last) != hostAddress) {
            return add(hostAddress, lengthBytes, writable);
        }
        buffers.set(last, buffers.base(last), buffers.length(last) + lengthBytes);
        if (writable) {
            writableBytes += lengthBytes;
        } else {
            readableBytes += lengthBytes;
        }
        return true;
    }

    /**
     * Lets the chain look as the class comment says.
     *
     * @param endHostAddress the last writable byte, or {@link GuestMemory#UNMAPPED}
     * @param length of the whole writable part
     */
    void fault(long endHostAddress, long length) {
        buffers.clear();
        readableCount = 0;
        readableBytes = 0;
        writableBytes = 0;
        if (endHostAddress != GuestMemory.UNMAPPED) {
            add(endHostAddress, 1, true);
            writableBytes = length;
        }
    }

    /** Remembers where a buffer lies for the guest's IOMMU; returns false when the chain is too long. */
    boolean noteIova(long iova, long lengthBytes) {
        IoVectors noted = iovas;
        if (noted == null) {
            noted = new IoVectors(arena, bufferCountMax);
            iovas = noted;
        }
        return noted.add(iova, lengthBytes);
    }

    /** The request has been done with: nothing of the guest's is used any more. */
    public void forgetIovas() {
        if (iovas != null) {
            iovas.clear();
        }
    }

    /** Whether a buffer of a request that is not done with lies in that range, both ends included, unsigned. */
    public boolean usesIova(long first, long last) {
        IoVectors noted = iovas;
        if (noted == null) {
            return false;
        }
        for (int i = 0; i < noted.count(); i++) {
            long begin = noted.base(i);
            long end = begin + noted.length(i) - 1;
            if (Long.compareUnsigned(begin, last) <= 0 && Long.compareUnsigned(first, end) <= 0) {
                return true;
            }
        }
        return false;
    }

    /** What goes back to the driver in the used element: the head's index, or the buffer id of a packed ring. */
    public int headIndex() {
        return headIndex;
    }

    public IoVectors buffers() {
        return buffers;
    }

    /** Buffers {@code [0, readableCount)} are readable by the device, {@code [readableCount, count)} writable. */
    public int readableCount() {
        return readableCount;
    }

    public int writableCount() {
        return buffers.count() - readableCount;
    }

    public long readableBytes() {
        return readableBytes;
    }

    public long writableBytes() {
        return writableBytes;
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.virtqueue;

import java.lang.foreign.Arena;

/**
 * One chain taken from a virtqueue: checked host buffers, first those that the device reads, then those that it writes.
 * Reused for request after request; owned by one loop.
 *
 * <p>How the driver cut its request into buffers means nothing (virtio 1.2 section 2.7.4.1, free framing): the two halves
 * are byte streams. A device cuts its header off the first and its status off the second.
 */
public final class DescriptorChain {
    private final IoVectors buffers;
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

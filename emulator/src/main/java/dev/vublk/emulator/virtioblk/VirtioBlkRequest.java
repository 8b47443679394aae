// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import dev.vublk.vhostuser.virtqueue.DescriptorChain;
import dev.vublk.vhostuser.virtqueue.IoVectors;
import java.lang.foreign.Arena;

/**
 * One slot for a request in flight: the chain it came in, and what the parser made of it. Reused for request after
 * request; owned by one queue on its IOThread.
 */
final class VirtioBlkRequest implements AutoCloseable {
    /** The objects of a slot, without arrays. A reckoning: about 400 bytes on JDK 25. */
    private static final int HEAP_BYTES = 512;

    /** Of one range: offset, length, flags. */
    private static final int RANGE_BYTES = 20;

    /** Memory of the chain's buffers. Confined to the queue's thread, which makes and ends the slot; so closing it is cheap. */
    private final Arena arena = Arena.ofConfined();

    /** Where {@link RequestSlots} has it, and how many bytes it has counted for it. */
    int slotIndex;

    long countedBytes;

    final DescriptorChain chain;
    final long[] rangeOffsets;
    final long[] rangeLengths;
    final int[] rangeFlags;

    int type;
    long offsetBytes;

    /** The data part: {@code dataCount} iovecs from {@code dataFirst} on in the chain's buffers. */
    int dataFirst;

    int dataCount;
    long dataBytes;

    /** Ranges of a DISCARD, WRITE_ZEROES or SECURE_ERASE. */
    int rangeCount;

    /** How many bytes of its writable part, from the start on, an answer other than a read's data has. */
    int answerBytes;

    long statusAddress;

    /** It was in flight when an earlier life of this process ended, which may have carried it out. */
    boolean replayed;

    /** What it ended with. */
    int status;

    /** With {@link CompletionOrder}: it has run, and whether a used element with so many bytes is due for it. */
    boolean finished;

    boolean answered;
    int usedBytes;

    /** With {@link IovaUse}: where it is there. */
    int placeInFlight;

    VirtioBlkRequest(int slotIndex, int bufferCountMax, int rangesMax) {
        this.slotIndex = slotIndex;
        chain = new DescriptorChain(arena, bufferCountMax);
        rangeOffsets = new long[rangesMax];
        rangeLengths = new long[rangesMax];
        rangeFlags = new int[rangesMax];
    }

    /** What a slot takes that has had room for so many buffers and ranges, heap and native. */
    static long bytes(long bufferCount, int rangesMax) {
        return HEAP_BYTES + (long) RANGE_BYTES * rangesMax + IoVectors.allocatedBytes(bufferCount);
    }

    /** What it takes now. */
    long bytes() {
        return HEAP_BYTES + (long) RANGE_BYTES * rangeFlags.length + chain.allocatedBytes();
    }

    @Override
    public void close() {
        arena.close();
    }

    long dataIovAddress() {
        return chain.buffers().address(dataFirst);
    }
}

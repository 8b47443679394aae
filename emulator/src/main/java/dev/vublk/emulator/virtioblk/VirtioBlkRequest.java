// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import dev.vublk.vhostuser.virtqueue.DescriptorChain;
import java.lang.foreign.Arena;

/**
 * One slot for a request in flight: the chain it came in, and what the parser made of it. Reused for request after
 * request; owned by one queue on its IOThread.
 */
final class VirtioBlkRequest {
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

    /** What it ended with. */
    int status;

    /** With {@link CompletionOrder}: it has run, and whether a used element with so many bytes is due for it. */
    boolean finished;

    boolean answered;
    int usedBytes;

    /** With {@link IovaUse}: where it is there. */
    int placeInFlight;

    VirtioBlkRequest(Arena arena, int bufferCountMax, int rangesMax) {
        chain = new DescriptorChain(arena, bufferCountMax);
        rangeOffsets = new long[rangesMax];
        rangeLengths = new long[rangesMax];
        rangeFlags = new int[rangesMax];
    }

    long dataIovAddress() {
        return chain.buffers().address(dataFirst);
    }
}

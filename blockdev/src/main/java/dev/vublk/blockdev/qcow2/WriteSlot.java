// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import dev.vublk.blockdev.linux.Iovec;

/** What one request that changes the image needs while it is under way; pooled by its channel, so that requests allocate nothing. */
final class WriteSlot implements AutoCloseable {
    /** Entries that the old data before and behind the guest's data take. */
    private static final int OWN_ENTRIES = 2;

    final L2Change change = new L2Change();
    final L2Entry entry = new L2Entry();
    final ClusterRun run = new ClusterRun();

    /** The words of the entries that are replaced. */
    long[] oldWords = new long[8];

    private final GrowingMemory buffer = new GrowingMemory();
    private final GrowingMemory vector = new GrowingMemory();
    private final GrowingMemory single = new GrowingMemory();

    // A place in the guest's buffers.
    private long sourceIov;
    private long sourceOffset;

    /** Memory for old data; of unspecified content; 0 when there is none. */
    long buffer(int lengthBytes) {
        return buffer.reserve(lengthBytes);
    }

    /** Begins at the first of the guest's buffers. */
    void source(long iovAddress) {
        sourceIov = iovAddress;
        sourceOffset = 0;
    }

    /** Whether vectors of the guest's entries and own ones can be made. */
    boolean reserve(int guestEntries) {
        return vector.reserve((long) (guestEntries + OWN_ENTRIES) * Iovec.SIZE_BYTES) != 0;
    }

    /** The vector that {@link #put} and {@link #take} fill. */
    long iov() {
        return vector.address();
    }

    /** Sets an entry of the vector. */
    void put(int index, long address, long lengthBytes) {
        Iovec.set(iov() + (long) index * Iovec.SIZE_BYTES, address, lengthBytes);
    }

    /** Puts the next {@code lengthBytes} of the guest's buffers into the vector from {@code index} on; the index behind them. */
    int take(int index, long lengthBytes) {
        int at = index;
        long left = lengthBytes;
        while (left > 0) {
            long step = Math.min(left, Iovec.length(sourceIov) - sourceOffset);
            if (step > 0) {
                put(at++, Iovec.base(sourceIov) + sourceOffset, step);
                sourceOffset += step;
                left -= step;
            }
            if (sourceOffset == Iovec.length(sourceIov)) {
                sourceIov += Iovec.SIZE_BYTES;
                sourceOffset = 0;
            }
        }
        return at;
    }

    /** A vector of one entry, for what does not come from the guest; valid until the next call. 0 when there is no memory. */
    long single(long address, long lengthBytes) {
        long iov = single.reserve(Iovec.SIZE_BYTES);
        if (iov != 0) {
            Iovec.set(iov, address, lengthBytes);
        }
        return iov;
    }

    /** Makes room for the words of entries that are replaced. */
    void reserveOldWords(int count) {
        if (oldWords.length < count) {
            oldWords = new long[count];
        }
    }

    @Override
    public void close() {
        buffer.close();
        vector.close();
        single.close();
        change.close();
    }
}

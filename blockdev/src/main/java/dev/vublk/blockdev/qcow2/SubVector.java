// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import dev.vublk.blockdev.linux.Iovec;

/** Cuts a vector of buffers into vectors for its parts, one after the other. Runs on its loop; reused. */
final class SubVector implements AutoCloseable {
    private final GrowingMemory vector = new GrowingMemory();
    private long sourceIov;
    private long sourceOffset;
    private int count;

    /** Begins at the first buffer; false when there is no memory for vectors of that many entries. */
    boolean begin(long iovAddress, int iovCount) {
        sourceIov = iovAddress;
        sourceOffset = 0;
        return vector.reserve((long) iovCount * Iovec.SIZE_BYTES) != 0;
    }

    /** Makes {@link #iov} the next {@code lengthBytes}. */
    void take(long lengthBytes) {
        count = 0;
        long left = lengthBytes;
        while (left > 0) {
            long step = Math.min(left, Iovec.length(sourceIov) - sourceOffset);
            if (step > 0) {
                Iovec.set(iov() + (long) count * Iovec.SIZE_BYTES, Iovec.base(sourceIov) + sourceOffset, step);
                count++;
                sourceOffset += step;
                left -= step;
            }
            if (sourceOffset == Iovec.length(sourceIov)) {
                sourceIov += Iovec.SIZE_BYTES;
                sourceOffset = 0;
            }
        }
    }

    long iov() {
        return vector.address();
    }

    int count() {
        return count;
    }

    @Override
    public void close() {
        vector.close();
    }
}

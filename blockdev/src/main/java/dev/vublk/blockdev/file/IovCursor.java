// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import dev.vublk.blockdev.linux.Iovec;
import dev.vublk.blockdev.linux.NativeMemory;

/** A place in a vector of buffers, moved by copying. Runs on its loop; reused. */
public final class IovCursor {
    private long iovAddress;
    private long entryOffsetBytes;

    public void reset(long iovAddress) {
        this.iovAddress = iovAddress;
        this.entryOffsetBytes = 0;
    }

    /** Copies the next {@code lengthBytes} of the buffers to {@code targetAddress}. */
    public void gather(long targetAddress, long lengthBytes) {
        long done = 0;
        while (done < lengthBytes) {
            long step = step(lengthBytes - done);
            NativeMemory.copy(address(), targetAddress + done, step);
            advance(step);
            done += step;
        }
        NativeMemory.awaitFault();
    }

    /** Copies {@code lengthBytes} from {@code sourceAddress} into the buffers. */
    public void scatter(long sourceAddress, long lengthBytes) {
        long done = 0;
        while (done < lengthBytes) {
            long step = step(lengthBytes - done);
            NativeMemory.copy(sourceAddress + done, address(), step);
            advance(step);
            done += step;
        }
        NativeMemory.awaitFault();
    }

    private long address() {
        return Iovec.base(iovAddress) + entryOffsetBytes;
    }

    private long step(long atMostBytes) {
        return Math.min(Iovec.length(iovAddress) - entryOffsetBytes, atMostBytes);
    }

    private void advance(long stepBytes) {
        entryOffsetBytes += stepBytes;
        if (entryOffsetBytes == Iovec.length(iovAddress)) {
            iovAddress += Iovec.SIZE_BYTES;
            entryOffsetBytes = 0;
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.cbw;

import static dev.vublk.blockdev.cbw.DiskSnapshot.UNIT_BYTES;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.BlockStatus;
import dev.vublk.blockdev.IoContext;
import dev.vublk.blockdev.file.LoopQueue;
import dev.vublk.blockdev.file.RangeLock.Range;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.Iovec;
import dev.vublk.blockdev.linux.NativeMemory;

/**
 * Reads a snapshot once, from one thread or loop. Once a snapshot has failed every call fails: {@link DiskSnapshot#failure} says
 * why.
 */
public final class SnapshotReader implements AutoCloseable {
    private final DiskSnapshot snapshot;
    private final BlockChannel disk;
    private final BlockChannel store;
    private final LoopQueue lockQueue;
    private final long iovec = NativeMemory.allocateZeroed(Iovec.SIZE_BYTES);

    SnapshotReader(DiskSnapshot snapshot, IoContext context) {
        this.snapshot = snapshot;
        disk = snapshot.disk.openChannel(context);
        store = snapshot.store.openChannel(context);
        lockQueue = new LoopQueue(context);
    }

    /** As {@link BlockChannel#status}, of what has not been read. */
    public int status(long offsetBytes, long lengthBytes, BlockStatus out) {
        Range range = snapshot.lock.acquire(lockQueue, offsetBytes, offsetBytes + lengthBytes, false);
        try {
            long unit = offsetBytes / UNIT_BYTES;
            long runBytes = Math.min(lengthBytes, sameUntil(unit, offsetBytes + lengthBytes) - offsetBytes);
            if (snapshot.stored.contains(unit)) {
                out.set(runBytes, true, false, true, false, 0, -1, null);
                return failed(0);
            }
            return failed(snapshot.settled.contains(unit) ? -Errno.EIO : disk.status(offsetBytes, runBytes, out));
        } finally {
            snapshot.lock.release(range);
        }
    }

    /**
     * Reads into one buffer, from wherever the data is. Whole units are not wanted again: guests may overwrite them without a copy,
     * and reading them a second time fails.
     */
    public int readOnce(long offsetBytes, long address, long lengthBytes) {
        long end = offsetBytes + lengthBytes;
        Range range = snapshot.lock.acquire(lockQueue, offsetBytes, end, false);
        try {
            long at = offsetBytes;
            while (at < end) {
                long unit = at / UNIT_BYTES;
                long runEnd = Math.min(end, sameUntil(unit, end));
                int result = readRun(unit, at, address + (at - offsetBytes), runEnd - at);
                if (result < 0) {
                    return result;
                }
                at = runEnd;
            }
            settle(offsetBytes, end);
            return failed(0);
        } finally {
            snapshot.lock.release(range);
        }
    }

    private int readRun(long unit, long offset, long address, long length) {
        boolean isStored = snapshot.stored.contains(unit);
        if (!isStored && snapshot.settled.contains(unit)) {
            return -Errno.EIO;
        }
        Iovec.set(iovec, address, length);
        return (isStored ? store : disk).readv(offset, iovec, 1, length);
    }

    /** Where the units end that are where this one is. */
    private long sameUntil(long first, long endBytes) {
        boolean isStored = snapshot.stored.contains(first);
        boolean isSettled = snapshot.settled.contains(first);
        long unit = first + 1;
        while (unit * UNIT_BYTES < endBytes
                && snapshot.stored.contains(unit) == isStored
                && snapshot.settled.contains(unit) == isSettled) {
            unit++;
        }
        return unit * UNIT_BYTES;
    }

    private void settle(long startBytes, long endBytes) {
        long unit = (startBytes + UNIT_BYTES - 1) / UNIT_BYTES;
        while (unit * UNIT_BYTES < endBytes && snapshot.unitEnd(unit) <= endBytes) {
            snapshot.settled.add(unit++);
        }
    }

    private int failed(int result) {
        return snapshot.failure() == null ? result : -Errno.EIO;
    }

    @Override
    public void close() {
        NativeMemory.free(iovec);
        disk.close();
        store.close();
    }
}

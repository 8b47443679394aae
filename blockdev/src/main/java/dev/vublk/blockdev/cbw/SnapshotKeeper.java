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
import java.util.ArrayDeque;

/**
 * Copies units of a disk into a snapshot's store before they are overwritten, on one loop. Never fails: what cannot be kept makes
 * the snapshot fail. Runs on its loop; many calls may be under way at once.
 */
public final class SnapshotKeeper implements AutoCloseable {
    /** Units that are read at once at most. */
    private static final int RUN_UNITS = 16;

    /** Copies under way at once at most, a megabyte each; further ones wait. Arbitrary. */
    private static final int COPIES_MAX = 8;

    private final DiskSnapshot snapshot;
    private final BlockChannel disk;
    private final BlockChannel store;
    private final LoopQueue lockQueue;
    private final LoopQueue copyQueue;
    private final ArrayDeque<Copy> idle = new ArrayDeque<>();
    private int copyCount;

    SnapshotKeeper(DiskSnapshot snapshot, IoContext context) {
        this.snapshot = snapshot;
        disk = snapshot.disk.openChannel(context);
        store = snapshot.store.openChannel(context);
        lockQueue = new LoopQueue(context);
        copyQueue = new LoopQueue(context);
    }

    /** The range is about to change: keeps of it what is not kept yet. */
    void keep(long offsetBytes, long lengthBytes) {
        long unit = offsetBytes / UNIT_BYTES;
        long end = Math.min(snapshot.sizeBytes, offsetBytes + lengthBytes);
        while (unit * UNIT_BYTES < end && snapshot.failure() == null) {
            if (snapshot.settled.contains(unit)) {
                unit++;
            } else {
                long endUnit = Math.min((end + UNIT_BYTES - 1) / UNIT_BYTES, unit + RUN_UNITS);
                keepUnits(unit, endUnit);
                unit = endUnit;
            }
        }
    }

    private void keepUnits(long firstUnit, long endUnit) {
        Copy copy = acquireCopy();
        // Readers of these units are waited for, and the others that are about to overwrite them.
        Range range = snapshot.lock.acquire(lockQueue, firstUnit * UNIT_BYTES, snapshot.unitEnd(endUnit - 1), true);
        try {
            long unit = firstUnit;
            while (unit < endUnit && snapshot.failure() == null) {
                if (snapshot.settled.contains(unit)) {
                    unit++;
                    continue;
                }
                long runEnd = unit + 1;
                while (runEnd < endUnit && !snapshot.settled.contains(runEnd)) {
                    runEnd++;
                }
                copy.run(unit, runEnd);
                unit = runEnd;
            }
        } finally {
            snapshot.lock.release(range);
            idle.add(copy);
            copyQueue.get().wakeOne();
        }
    }

    private Copy acquireCopy() {
        while (idle.isEmpty()) {
            if (copyCount < COPIES_MAX) {
                copyCount++;
                return new Copy();
            }
            copyQueue.get().await();
        }
        return idle.remove();
    }

    /** No call is under way, and none will come. */
    @Override
    public void close() {
        idle.forEach(Copy::free);
        idle.clear();
        disk.close();
        store.close();
    }

    /** One copy under way, and its memory. */
    private final class Copy {
        private final long buffer = NativeMemory.allocate((long) RUN_UNITS * UNIT_BYTES);
        private final long iovec = NativeMemory.allocateZeroed(Iovec.SIZE_BYTES);
        private final BlockStatus status = new BlockStatus();

        /** Keeps units that follow each other, none of which is settled. */
        private void run(long unit, long endUnit) {
            long start = unit * UNIT_BYTES;
            long length = snapshot.unitEnd(endUnit - 1) - start;
            if (!isZero(start, length) && !store(start, length)) {
                return;
            }
            for (long kept = unit; kept < endUnit; kept++) {
                snapshot.stored.add(kept);
                snapshot.settled.add(kept);
            }
        }

        /** What the disk knows to be zeroes is so in the store already, which nobody has written. */
        private boolean isZero(long start, long length) {
            return disk.status(start, length, status) == 0 && status.zero && status.lengthBytes == length;
        }

        private boolean store(long start, long length) {
            if (buffer == 0) {
                snapshot.fail("no memory to keep what guests overwrite");
                return false;
            }
            if (!snapshot.reserve(length)) {
                return false;
            }
            Iovec.set(iovec, buffer, length);
            int result = disk.readv(start, iovec, 1, length);
            if (result < 0) {
                snapshot.fail("the disk cannot be read at offset " + start + ": " + Errno.describe(result));
                return false;
            }
            result = store.writev(start, iovec, 1, length, false);
            if (result < 0) {
                snapshot.fail("what guests overwrite cannot be kept: " + Errno.describe(result));
                return false;
            }
            return true;
        }

        private void free() {
            NativeMemory.free(buffer);
            NativeMemory.free(iovec);
        }
    }
}

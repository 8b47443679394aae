// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.cbw;

import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.IoContext;
import dev.vublk.blockdev.file.RangeLock;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * A disk as it was at one moment: what has been overwritten since then is in a store, the rest still on the disk. Whatever goes
 * wrong with it, a full store above all, is the end of the snapshot and nothing to the guest. Thread-safe.
 *
 * <pre>
 *   unit       |  0  |  1  |  2  |  3  |       64 KiB each
 *   settled    |     |  x  |     |  x  |       need not be kept any more
 *   stored     |     |  x  |     |     |       kept: the store has it.  3: has been read, and is not wanted again
 * </pre>
 */
public final class DiskSnapshot implements AutoCloseable {
    /** What is kept at once: the smallest write makes so much to be read and written. QEMU's unit too. */
    public static final int UNIT_BYTES = 64 << 10;

    final BlockDriver disk;
    final BlockDriver store;
    final long sizeBytes;

    /** Readers of a unit share it; who keeps it has it alone. */
    final RangeLock lock = new RangeLock();

    final UnitSet settled;
    final UnitSet stored;

    private final long storeBytesMax;
    private final AtomicLong storeBytes = new AtomicLong();
    private volatile @Nullable String failure;

    /**
     * @param disk what is to be read; stays the caller's
     * @param store an empty disk of at least the same size; is closed with the snapshot
     * @param storeBytesMax how much may be stored
     */
    public DiskSnapshot(BlockDriver disk, BlockDriver store, long storeBytesMax) {
        this.disk = disk;
        this.store = store;
        this.storeBytesMax = storeBytesMax;
        sizeBytes = disk.limits().sizeBytes();
        long units = (sizeBytes + UNIT_BYTES - 1) / UNIT_BYTES;
        settled = new UnitSet(units);
        stored = new UnitSet(units);
    }

    /** The disk's size at that moment. */
    public long sizeBytes() {
        return sizeBytes;
    }

    /** Keeps what is about to be overwritten on one loop. */
    public SnapshotKeeper openKeeper(IoContext context) {
        return new SnapshotKeeper(this, context);
    }

    /** Reads it from one thread or loop. */
    public SnapshotReader openReader(IoContext context) {
        return new SnapshotReader(this, context);
    }

    /** Why it cannot be read any more: a line for the user; null as long as it can. */
    public @Nullable String failure() {
        return failure;
    }

    void fail(String why) {
        if (failure == null) {
            failure = why;
        }
    }

    /** Makes room for more in the store; false when it must not grow so large. */
    boolean reserve(long bytes) {
        if (storeBytes.addAndGet(bytes) <= storeBytesMax) {
            return true;
        }
        fail("guests have overwritten more than the " + storeBytesMax + " bytes that may be kept");
        return false;
    }

    /** How much is stored. */
    public long storeBytes() {
        return storeBytes.get();
    }

    /** Where a unit ends. */
    long unitEnd(long unit) {
        return Math.min(sizeBytes, (unit + 1) * UNIT_BYTES);
    }

    /** Closes the store; every keeper and reader has been closed before. */
    @Override
    public void close() {
        store.close();
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.zoned;

import static dev.vublk.blockdev.linux.ZoneIoctl.BLK_ZONE_COND_OFFLINE;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.IoContext;
import dev.vublk.blockdev.ZoneOperation;
import dev.vublk.blockdev.ZonedChannel;
import dev.vublk.blockdev.file.LoopQueue;
import dev.vublk.blockdev.file.RangeLock;
import dev.vublk.blockdev.linux.Errno;

/**
 * A zoned disk on one loop: keeps the rules of zones in front of a channel that knows none. Runs on its loop.
 *
 * <p>Whoever writes to a sequential zone or changes its state has it alone, in the order of arrival; so writes that were
 * submitted one behind the other find the write pointer where they expect it, and appends follow one another.
 */
abstract sealed class ZonedBlockChannel implements BlockChannel, ZonedChannel
        permits EmulatedZonesChannel, DeviceZonesChannel {
    final IoContext context;
    final BlockChannel disk;
    final ZoneTable table;
    final LoopQueue queue;
    private final RangeLock zoneLock;
    private final boolean readOnly;

    ZonedBlockChannel(IoContext context, BlockChannel disk, ZoneTable table, RangeLock zoneLock, boolean readOnly) {
        this.context = context;
        this.disk = disk;
        this.table = table;
        this.zoneLock = zoneLock;
        this.readOnly = readOnly;
        queue = new LoopQueue(context);
    }

    /** Reads in one sequential zone. */
    abstract int readZone(int zone, long offsetBytes, long iovAddress, int iovCount, long lengthBytes);

    /** Writes at the write pointer of a zone that is locked, and moves the pointer. */
    abstract int writeZone(int zone, long offsetBytes, long iovAddress, int iovCount, long lengthBytes, boolean fua);

    /** Carries the operation out on a zone that is locked. */
    abstract int operateZone(ZoneOperation operation, int zone);

    @Override
    public final ZonedChannel zones() {
        return this;
    }

    @Override
    public final int readv(long offsetBytes, long iovAddress, int iovCount, long lengthBytes) {
        if (isConventional(offsetBytes, lengthBytes)) {
            return disk.readv(offsetBytes, iovAddress, iovCount, lengthBytes);
        }
        int zone = table.zoneOf(offsetBytes);
        // Virtio 1.2 section 5.2.6.2: in two zones, or in one that is offline.
        if (crossesZone(zone, offsetBytes, lengthBytes)
                || ZoneTable.condition(table.word(zone)) == BLK_ZONE_COND_OFFLINE) {
            return -Errno.EINVAL;
        }
        return readZone(zone, offsetBytes, iovAddress, iovCount, lengthBytes);
    }

    @Override
    public final int writev(long offsetBytes, long iovAddress, int iovCount, long lengthBytes, boolean fua) {
        if (readOnly) {
            return -Errno.EROFS;
        }
        if (isConventional(offsetBytes, lengthBytes)) {
            return disk.writev(offsetBytes, iovAddress, iovCount, lengthBytes, fua);
        }
        int zone = table.zoneOf(offsetBytes);
        if (crossesZone(zone, offsetBytes, lengthBytes)) {
            return -Errno.EINVAL;
        }
        RangeLock.Range lock = lock(zone);
        try {
            return write(zone, offsetBytes, iovAddress, iovCount, lengthBytes, fua);
        } finally {
            unlock(lock);
        }
    }

    @Override
    public final int writeAgain(long offsetBytes, long iovAddress, int iovCount, long lengthBytes, boolean fua) {
        if (!readOnly && holds(offsetBytes, iovAddress, lengthBytes)) {
            return fua ? flush() : 0; // Nobody knows how far the earlier life came with that.
        }
        return writev(offsetBytes, iovAddress, iovCount, lengthBytes, fua);
    }

    /** Whether a sequential zone is written there, with these bytes. */
    private boolean holds(long offsetBytes, long iovAddress, long lengthBytes) {
        int zone = table.zoneOf(offsetBytes);
        if (table.isConventional(zone)) {
            return false;
        }
        RangeLock.Range lock = lock(zone);
        try {
            return table.isWritten(zone, offsetBytes, lengthBytes)
                    && StoredData.equals(disk, offsetBytes, iovAddress, lengthBytes);
        } finally {
            unlock(lock);
        }
    }

    @Override
    public final long append(long zoneOffsetBytes, long iovAddress, int iovCount, long lengthBytes, boolean fua) {
        if (readOnly) {
            return -Errno.EROFS;
        }
        int zone = table.zoneOf(zoneOffsetBytes);
        if (zoneOffsetBytes != table.startBytes(zone) || table.isConventional(zone) || lengthBytes == 0) {
            return -Errno.EINVAL;
        }
        RangeLock.Range lock = lock(zone);
        try {
            long offsetBytes = table.writtenEndBytes(zone);
            int result = write(zone, offsetBytes, iovAddress, iovCount, lengthBytes, fua);
            return result == 0 ? offsetBytes : result;
        } finally {
            unlock(lock);
        }
    }

    private int write(int zone, long offsetBytes, long iovAddress, int iovCount, long lengthBytes, boolean fua) {
        int result = table.beginWrite(zone, offsetBytes, lengthBytes);
        return result == 0 ? writeZone(zone, offsetBytes, iovAddress, iovCount, lengthBytes, fua) : result;
    }

    @Override
    public final int operate(ZoneOperation operation, long offsetBytes) {
        if (readOnly) {
            return -Errno.EROFS;
        }
        int zone = table.zoneOf(offsetBytes);
        if (offsetBytes != table.startBytes(zone)) {
            return -Errno.EINVAL;
        }
        RangeLock.Range lock = lock(zone);
        try {
            return operateZone(operation, zone);
        } finally {
            unlock(lock);
        }
    }

    /** Zone by zone: each is empty for good when the next one is taken, and writers of others need not wait for all. */
    @Override
    public final int resetAll() {
        int result = readOnly ? -Errno.EROFS : 0;
        for (int zone = 0; zone < table.zoneCount() && result == 0; zone++) {
            // Read-only and offline zones are not among those that the request is for (section 5.2.6.2).
            if (table.permits(ZoneOperation.RESET, zone)) {
                result = operate(ZoneOperation.RESET, table.startBytes(zone));
            }
        }
        return result;
    }

    /** There is no discarding of parts of a zone; resetting gives its space back. */
    @Override
    public final int discard(long offsetBytes, long lengthBytes) {
        return readOnly ? -Errno.EROFS : -Errno.EOPNOTSUPP;
    }

    @Override
    public final int writeZeroes(long offsetBytes, long lengthBytes, boolean mayUnmap, boolean fua) {
        return readOnly ? -Errno.EROFS : -Errno.EOPNOTSUPP;
    }

    @Override
    public final long lifetime() {
        return disk.lifetime();
    }

    @Override
    public void close() {
        disk.close();
    }

    /** An empty range has nothing to do with zones, either. */
    private boolean isConventional(long offsetBytes, long lengthBytes) {
        if (lengthBytes == 0) {
            return true;
        }
        int last = table.zoneOf(offsetBytes + lengthBytes - 1);
        for (int zone = table.zoneOf(offsetBytes); zone <= last; zone++) {
            if (!table.isConventional(zone)) {
                return false;
            }
        }
        return true;
    }

    private boolean crossesZone(int zone, long offsetBytes, long lengthBytes) {
        return offsetBytes + lengthBytes > table.startBytes(zone) + table.lengthBytes(zone);
    }

    RangeLock.Range lock(int zone) {
        long startBytes = table.startBytes(zone);
        return zoneLock.acquire(queue, startBytes, startBytes + table.lengthBytes(zone), true);
    }

    void unlock(RangeLock.Range lock) {
        zoneLock.release(lock);
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.zoned;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.IoContext;
import dev.vublk.blockdev.ZoneOperation;
import dev.vublk.blockdev.file.FlushGate;
import dev.vublk.blockdev.file.RangeLock;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.Iovec;
import dev.vublk.blockdev.linux.NativeMemory;
import java.util.function.IntSupplier;

/**
 * Zones emulated on an ordinary disk, on one loop. Runs on its loop.
 *
 * <p>A zone's written part never claims more than is stable after a power cut: a flush makes the data stable first and then
 * the write pointers that were reached before it began. What lies behind a write pointer reads as zeroes, whatever the
 * image holds there.
 */
final class EmulatedZonesChannel extends ZonedBlockChannel {
    private final ZoneFile zoneFile;
    private final FlushGate flushes;
    private final boolean noFlush;
    private final IntSupplier flushOnce = this::flushOnce;
    private final IoContext.BlockingCall commit;

    EmulatedZonesChannel(
            IoContext context,
            BlockChannel disk,
            ZoneTable table,
            RangeLock zoneLock,
            ZoneFile zoneFile,
            FlushGate flushes,
            boolean readOnly,
            boolean noFlush) {
        super(context, disk, table, zoneLock, readOnly);
        this.zoneFile = zoneFile;
        this.flushes = flushes;
        this.noFlush = noFlush || readOnly;
        commit = zoneFile::commit;
    }

    @Override
    int readZone(int zone, long offsetBytes, long iovAddress, int iovCount, long lengthBytes) {
        long presentBytes = Math.clamp(table.writtenEndBytes(zone) - offsetBytes, 0, lengthBytes);
        if (presentBytes == lengthBytes) {
            return disk.readv(offsetBytes, iovAddress, iovCount, lengthBytes);
        }
        int headCount;
        try {
            headCount = zeroTail(iovAddress, iovCount, presentBytes);
            NativeMemory.awaitFault();
        } catch (InternalError pageGone) {
            return -Errno.EFAULT; // what the kernel says when a buffer's file was truncated under its mapping
        }
        return presentBytes == 0 ? 0 : readHead(offsetBytes, iovAddress, headCount, presentBytes);
    }

    /** Reads into the first bytes of the buffers: the last entry that they reach is cut for that call. */
    private int readHead(long offsetBytes, long iovAddress, int headCount, long headBytes) {
        long before = 0;
        for (int i = 0; i < headCount - 1; i++) {
            before += Iovec.length(iovAddress + (long) i * Iovec.SIZE_BYTES);
        }
        long last = iovAddress + (headCount - 1L) * Iovec.SIZE_BYTES;
        long base = Iovec.base(last);
        long length = Iovec.length(last);
        Iovec.set(last, base, headBytes - before);
        int result = disk.readv(offsetBytes, iovAddress, headCount, headBytes);
        Iovec.set(last, base, length);
        return result;
    }

    /** Zeroes all but the first bytes of the buffers; returns how many entries those reach. */
    private static int zeroTail(long iovAddress, int iovCount, long headBytes) {
        long done = 0;
        int headCount = 0;
        for (int i = 0; i < iovCount; i++) {
            long iov = iovAddress + (long) i * Iovec.SIZE_BYTES;
            long base = Iovec.base(iov);
            long length = Iovec.length(iov);
            long keep = Math.clamp(headBytes - done, 0, length);
            if (keep < length) {
                NativeMemory.zero(base + keep, length - keep);
            }
            if (keep > 0) {
                headCount = i + 1;
            }
            done += length;
        }
        return headCount;
    }

    /** The data without fua: it would be stable, but earlier data of the zone might not be. */
    @Override
    int writeZone(int zone, long offsetBytes, long iovAddress, int iovCount, long lengthBytes, boolean fua) {
        int result = disk.writev(offsetBytes, iovAddress, iovCount, lengthBytes, false);
        table.endWrite(zone, result == 0 ? lengthBytes : 0);
        return result == 0 && fua ? flush() : result;
    }

    @Override
    int operateZone(ZoneOperation operation, int zone) {
        int result = table.operate(operation, zone);
        if (result != 0) {
            return result;
        }
        return switch (operation) {
            // Open zones are closed ones after a power cut: nothing to keep.
            case OPEN, CLOSE -> 0;
            case FINISH -> flush();
            case RESET -> reset(zone);
        };
    }

    /** First for good, so that no write that follows can be seen through the old write pointer; then the space. */
    private int reset(int zone) {
        int result = keepEmpty(zone);
        return result == 0 ? disk.discard(table.startBytes(zone), table.lengthBytes(zone)) : result;
    }

    private int keepEmpty(int zone) {
        return context.runBlocking(() -> zoneFile.keepEmpty(zone));
    }

    /**
     * Section 5.2.6.2: a secure erase is a reset of each zone; here the data is overwritten, too. (Not after a discard, which
     * would let the zeroes go to other blocks than the data.)
     */
    @Override
    public int secureErase(long offsetBytes, long lengthBytes) {
        int result = 0;
        for (long start = offsetBytes; start < offsetBytes + lengthBytes && result == 0; ) {
            int zone = table.zoneOf(start);
            result = eraseZone(zone);
            start += table.lengthBytes(zone);
        }
        return result;
    }

    private int eraseZone(int zone) {
        RangeLock.Range lock = lock(zone);
        try {
            int result = table.operate(ZoneOperation.RESET, zone);
            if (result == 0) {
                result = keepEmpty(zone);
            }
            return result == 0 ? disk.secureErase(table.startBytes(zone), table.lengthBytes(zone)) : result;
        } finally {
            unlock(lock);
        }
    }

    @Override
    public int report(long offsetBytes, long reportAddress, int zonesMax) {
        int first = table.zoneOf(offsetBytes);
        int count = Math.min(zonesMax, table.zoneCount() - first);
        for (int i = 0; i < count; i++) {
            table.describe(first + i, reportAddress, i);
        }
        return count;
    }

    @Override
    public int flush() {
        return noFlush ? 0 : flushes.flush(flushOnce, queue);
    }

    /** One at a time, by the gate: the pointers taken before the data is made stable are kept after it. */
    private int flushOnce() {
        zoneFile.takePointers(table);
        int result = disk.flush();
        return result == 0 ? context.runBlocking(commit) : result;
    }
}

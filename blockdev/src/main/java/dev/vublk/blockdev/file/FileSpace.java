// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import static dev.vublk.blockdev.linux.BlockDeviceIoctl.BLKDISCARD;
import static dev.vublk.blockdev.linux.BlockDeviceIoctl.BLKSECDISCARD;
import static dev.vublk.blockdev.linux.BlockDeviceIoctl.BLKZEROOUT;
import static dev.vublk.blockdev.linux.PosixFile.FALLOC_FL_KEEP_SIZE;
import static dev.vublk.blockdev.linux.PosixFile.FALLOC_FL_PUNCH_HOLE;
import static dev.vublk.blockdev.linux.PosixFile.FALLOC_FL_ZERO_RANGE;

import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.NativeMemory;
import org.jspecify.annotations.Nullable;

/**
 * Gives a file's space back and makes ranges zero, by the best means that file system or device has. Runs on its loop.
 *
 * <p>A means that turns out not to exist is not tried again on this disk. Every {@code fallocate} keeps the file's size.
 */
final class FileSpace {
    private final SharedFile file;
    private final FileTransfer transfer;
    private final BouncedTransfer bounced;
    private final BlockGuard guard;

    FileSpace(SharedFile file, FileTransfer transfer, BouncedTransfer bounced, BlockGuard guard) {
        this.file = file;
        this.transfer = transfer;
        this.bounced = bounced;
        this.guard = guard;
    }

    /**
     * Discards what whole units lie in the range. A discard is a hint: where it cannot be done at all, or was not wanted
     * ({@code discard=ignore}), nothing happens and that is a success.
     */
    int discard(long offsetBytes, long lengthBytes) {
        if (!file.options.discard() || !file.canDiscard()) {
            return 0;
        }
        int result;
        if (file.geometry.blockDevice()) {
            int unit = file.geometry.discardGranularityBytes(); // not always a power of two
            long start = Math.ceilDiv(offsetBytes, unit) * unit;
            long end = Math.floorDiv(offsetBytes + lengthBytes, unit) * unit;
            if (start >= end) {
                return 0;
            }
            result = ioctl(BLKDISCARD, start, end - start);
        } else {
            result = fallocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offsetBytes, lengthBytes);
        }
        if (Errno.isUnsupported(result)) {
            file.rememberNoDiscard();
            return 0;
        }
        return result;
    }

    /**
     * Lets a device erase the range itself: 0 or a negative errno, of which "unsupported" means that it cannot.
     * Unlike a discard this is no hint, so nothing is rounded: what the device does not take is an error.
     */
    int eraseByDevice(long offsetBytes, long lengthBytes) {
        if (!file.geometry.blockDevice() || !file.canSecureErase()) {
            return -Errno.EOPNOTSUPP;
        }
        int result = ioctl(BLKSECDISCARD, offsetBytes, lengthBytes);
        if (Errno.isUnsupported(result)) {
            file.rememberNoSecureErase();
        }
        return result;
    }

    /** Writes zeroes over the range, as data: no means that might only forget where the old data lies. */
    int overwrite(long offsetBytes, long lengthBytes) {
        return writeZeroBuffer(offsetBytes, lengthBytes);
    }

    /** Makes the range zero; the space is kept or given back as the caller says. */
    int writeZeroes(long offsetBytes, long lengthBytes, boolean mayUnmap) {
        // A device zeroes whole sectors only; a file any range.
        int unit = file.geometry.blockDevice() ? file.geometry.logicalBlockBytes() : 1;
        long start = Math.ceilDiv(offsetBytes, unit) * unit;
        long end = Math.floorDiv(offsetBytes + lengthBytes, unit) * unit;
        if (start >= end) {
            return writeZeroBuffer(offsetBytes, lengthBytes);
        }
        int result = zeroUnits(start, end - start, mayUnmap && file.options.discard());
        if (result == 0 && offsetBytes < start) {
            result = writeZeroBuffer(offsetBytes, start - offsetBytes);
        }
        if (result == 0 && end < offsetBytes + lengthBytes) {
            result = writeZeroBuffer(end, offsetBytes + lengthBytes - end);
        }
        return result;
    }

    private int zeroUnits(long offsetBytes, long lengthBytes, boolean mayUnmap) {
        if (mayUnmap && file.canPunchHole()) {
            // On a device too: there it means "zeroes, unmapped if you can", and is refused when it cannot.
            int result = fallocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offsetBytes, lengthBytes);
            if (!Errno.isUnsupported(result)) {
                return result;
            }
            file.rememberNoPunchHole();
        }
        if (file.canZeroRange()) {
            int result = file.geometry.blockDevice()
                    ? ioctl(BLKZEROOUT, offsetBytes, lengthBytes)
                    : fallocate(FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, offsetBytes, lengthBytes);
            if (!Errno.isUnsupported(result)) {
                return result;
            }
            file.rememberNoZeroRange();
        }
        return writeZeroBuffer(offsetBytes, lengthBytes);
    }

    /** Writes zeroes as data, for the want of anything better. */
    private int writeZeroBuffer(long offsetBytes, long lengthBytes) {
        RangeLock.@Nullable Range range = guard.acquire(offsetBytes, lengthBytes);
        try {
            if (guard.isPartial(offsetBytes, lengthBytes)) {
                return bounced.writeZeroes(offsetBytes, lengthBytes);
            }
            for (long done = 0; done < lengthBytes; ) {
                int step = (int) Math.min(Zeroes.LENGTH_BYTES, lengthBytes - done);
                int result = transfer.write(Zeroes.ADDRESS, step, offsetBytes + done, 0);
                if (result < 0) {
                    return result;
                }
                done += step;
            }
            return 0;
        } finally {
            guard.release(range);
        }
    }

    private int fallocate(int mode, long offsetBytes, long lengthBytes) {
        RangeLock.@Nullable Range range = guard.acquire(offsetBytes, lengthBytes);
        try {
            return transfer.fallocate(mode, offsetBytes, lengthBytes);
        } finally {
            guard.release(range);
        }
    }

    private int ioctl(int request, long offsetBytes, long lengthBytes) {
        RangeLock.@Nullable Range range = guard.acquire(offsetBytes, lengthBytes);
        try {
            return transfer.ioctlOnRange(request, offsetBytes, lengthBytes);
        } finally {
            guard.release(range);
        }
    }

    /** Zeroes for every disk, made when the first one needs them; only ever read. */
    private static final class Zeroes {
        static final int LENGTH_BYTES = 1 << 20;
        static final long ADDRESS = NativeMemory.allocateZeroed(LENGTH_BYTES);
    }
}

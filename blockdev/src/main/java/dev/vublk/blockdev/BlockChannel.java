// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev;

import dev.vublk.blockdev.linux.Errno;
import org.jspecify.annotations.Nullable;

/**
 * A disk on one loop. Calls are straight-line code: they wait (suspending the calling coroutine) until the whole request
 * is done. Runs on its loop only; many calls may be under way at once, one per coroutine.
 *
 * <p>Every call returns 0 when all of it is done, or a negative errno ({@code -EIO}, {@code -ENOSPC}, {@code -EDQUOT},
 * {@code -EOPNOTSUPP}, {@code -EROFS} …). Short transfers have been continued, {@code EINTR} and {@code EAGAIN} retried.
 * The caller has checked that ranges lie inside the disk and are multiples of 512 bytes; nothing else about alignment.
 */
public interface BlockChannel extends AutoCloseable {

    /**
     * Reads {@code lengthBytes} at {@code offsetBytes} into the buffers of {@code iovCount} {@code struct iovec} at
     * {@code iovAddress}, whose lengths add up to {@code lengthBytes}. The vector belongs to the call until it returns;
     * then it is as it was.
     */
    int readv(long offsetBytes, long iovAddress, int iovCount, long lengthBytes);

    /** Writes; parameters as for {@link #readv}. With {@code fua} the data is stable when the call returns 0. */
    int writev(long offsetBytes, long iovAddress, int iovCount, long lengthBytes, boolean fua);

    /** Makes every write that completed before this call stable. Once it has failed on a disk it fails for ever. */
    int flush();

    /** Tells the disk that the range is no longer needed; what it reads afterwards is undefined unless the disk says. */
    int discard(long offsetBytes, long lengthBytes);

    /**
     * Makes the range read as zeroes. With {@code mayUnmap} the space may be given back. With {@code fua} the zeroes are
     * stable when the call returns 0.
     */
    int writeZeroes(long offsetBytes, long lengthBytes, boolean mayUnmap, boolean fua);

    /**
     * Makes what the range held unreadable by the best means that the disk has, and stable so; the range reads as zeroes
     * or as whatever the device says. Offset and length are multiples of {@link BlockLimits#secureEraseAlignmentBytes}.
     */
    default int secureErase(long offsetBytes, long lengthBytes) {
        return -Errno.EOPNOTSUPP;
    }

    /**
     * Tells what the disk knows of the beginning of a range without reading its data: how long the first run of one kind is, and
     * what it is. For tools that copy or show an image; may wait and may allocate. A disk that knows nothing says that all of it
     * is data.
     *
     * @return 0, or a negative errno; then {@code out} is as it was
     */
    default int status(long offsetBytes, long lengthBytes, BlockStatus out) {
        out.set(lengthBytes, true, false, true, false, 0, -1, null);
        return 0;
    }

    /** How worn the device is, as {@link DiskLifetime#packed}, or a negative errno. May ask the device, and so wait. */
    default long lifetime() {
        return -Errno.EOPNOTSUPP;
    }

    /**
     * Whether a read, or a write without {@code fua}, concerns nobody but its caller when one of its system calls is refused
     * ({@code -ECANCELED}): it changes nothing that other calls share, and after it has failed it can be made again, whole. So it is
     * with plain files and devices; a disk that keeps tables of its own says no.
     */
    default boolean failsAlone() {
        return false;
    }

    /** The zones of a disk whose {@link BlockLimits#zoned} are not null; null for every other disk. */
    default @Nullable ZonedChannel zones() {
        return null;
    }

    /** Closes the channel; no call may be under way. */
    @Override
    void close();
}

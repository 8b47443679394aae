// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.BlockStatus;
import dev.vublk.blockdev.IoContext;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.Iovec;
import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.blockdev.linux.PosixFile;
import java.util.function.IntSupplier;
import org.jspecify.annotations.Nullable;

/**
 * A container file on one loop. Offsets and lengths are any, also behind the file's end: what is read there is zeroes, what is
 * written there makes the file grow. Every method returns 0 or a negative errno. Runs on its loop; allocates nothing once as many
 * requests were under way before.
 */
public final class ContainerChannel implements BlockChannel {
    private final FileHoles holes = new FileHoles();
    private final SharedFile file;
    private final IoContext context;
    private final FileIo io;
    private final FileTransfer transfer;
    private final BouncedTransfer bounced;
    private final FileSpace space;
    private final BlockGuard guard;
    private final LoopQueue queue;
    private final IntSupplier fdatasync;
    private final DiskExtent extent;
    private final DirectCheck alignment;
    private final boolean readOnly;
    private final boolean noFlush;
    private final boolean direct;

    ContainerChannel(SharedFile file, IoContext context, FileIo io) {
        this.file = file;
        this.context = context;
        this.io = io;
        this.queue = new LoopQueue(context);
        this.guard = new BlockGuard(file, queue);
        this.transfer = new FileTransfer(io, file);
        this.fdatasync = transfer::fdatasync;
        this.bounced = new BouncedTransfer(context, transfer, file);
        this.space = new FileSpace(file, transfer, bounced, guard);
        this.extent = file.extent;
        this.alignment = new DirectCheck(file);
        this.readOnly = file.options.readOnly();
        this.noFlush = file.options.cacheMode().noFlush();
        this.direct = file.options.cacheMode().direct();
    }

    @Override
    public int readv(long offsetBytes, long iovAddress, int iovCount, long lengthBytes) {
        if (offsetBytes + lengthBytes <= extent.fileBytes()) {
            return alignment.fits(offsetBytes, iovAddress, iovCount, lengthBytes)
                    ? transfer.readv(offsetBytes, iovAddress, iovCount, lengthBytes)
                    : bounced.readv(offsetBytes, iovAddress, lengthBytes);
        }
        if (offsetBytes < extent.fileBytes()) {
            return bounced.readv(offsetBytes, iovAddress, lengthBytes); // fills up with zeroes
        }
        return zero(iovAddress, iovCount);
    }

    private static int zero(long iovAddress, int iovCount) {
        try {
            for (int i = 0; i < iovCount; i++) {
                long iov = iovAddress + (long) i * Iovec.SIZE_BYTES;
                NativeMemory.zero(Iovec.base(iov), Iovec.length(iov));
            }
            NativeMemory.awaitFault();
            return 0;
        } catch (InternalError pageGone) {
            return -Errno.EFAULT;
        }
    }

    /** Reads into one buffer of ours, of any alignment. */
    public int read(long offsetBytes, long address, int lengthBytes) {
        long present = extent.fileBytes() - offsetBytes;
        if (present <= 0) {
            NativeMemory.zero(address, lengthBytes);
            return 0;
        }
        if (present < lengthBytes || !alignment.fits(offsetBytes, address, lengthBytes)) {
            return bounced.read(offsetBytes, address, lengthBytes);
        }
        return transfer.read(address, lengthBytes, offsetBytes, lengthBytes);
    }

    @Override
    public int writev(long offsetBytes, long iovAddress, int iovCount, long lengthBytes, boolean fua) {
        if (readOnly) {
            return -Errno.EROFS;
        }
        boolean stable = fua && !noFlush;
        int rwFlags = stable && file.canDsync() ? PosixFile.RWF_DSYNC : 0;
        int result;
        RangeLock.@Nullable Range range = guard.acquire(offsetBytes, lengthBytes);
        try {
            result = alignment.fits(offsetBytes, iovAddress, iovCount, lengthBytes)
                    ? transfer.writev(offsetBytes, iovAddress, iovCount, lengthBytes, rwFlags)
                    : bounced.writev(offsetBytes, iovAddress, lengthBytes, rwFlags);
            written(result, offsetBytes + lengthBytes);
        } finally {
            guard.release(range);
        }
        return stabilized(result, stable);
    }

    /** Writes from one buffer of ours, of any alignment. */
    public int write(long offsetBytes, long address, int lengthBytes, boolean fua) {
        if (readOnly) {
            return -Errno.EROFS;
        }
        boolean stable = fua && !noFlush;
        int rwFlags = stable && file.canDsync() ? PosixFile.RWF_DSYNC : 0;
        int result;
        RangeLock.@Nullable Range range = guard.acquire(offsetBytes, lengthBytes);
        try {
            result = alignment.fits(offsetBytes, address, lengthBytes)
                    ? transfer.write(address, lengthBytes, offsetBytes, rwFlags)
                    : bounced.write(offsetBytes, address, lengthBytes, rwFlags);
            written(result, offsetBytes + lengthBytes);
        } finally {
            guard.release(range);
        }
        return stabilized(result, stable);
    }

    /** Before others may touch the same block: who reads it back must know that it is there. */
    private void written(int result, long endBytes) {
        if (result == 0) {
            extent.reached(endBytes);
            file.mapGrowth();
        }
    }

    private int stabilized(int result, boolean stable) {
        if (!stable) {
            return result;
        }
        if (!file.canDsync()) {
            return result == 0 ? flush() : result;
        }
        if (result == -Errno.EIO && !direct) {
            // Syncing may have met, and so used up, the one report of an older write's failure.
            file.flushes.fail(result);
        }
        return result;
    }

    @Override
    public int flush() {
        return noFlush || readOnly ? 0 : file.flushes.flush(fdatasync, queue);
    }

    /** Gives the range's space back, where that can be done; it then reads as zeroes in a regular file. */
    @Override
    public int discard(long offsetBytes, long lengthBytes) {
        if (readOnly) {
            return -Errno.EROFS;
        }
        long present = Math.min(lengthBytes, extent.fileBytes() - offsetBytes);
        return present <= 0 ? 0 : space.discard(offsetBytes, present);
    }

    /** Makes the range zero; what lies behind the file's end is zero already, and the file does not grow by it. */
    @Override
    public int writeZeroes(long offsetBytes, long lengthBytes, boolean mayUnmap, boolean fua) {
        if (readOnly) {
            return -Errno.EROFS;
        }
        long present = Math.min(lengthBytes, extent.fileBytes() - offsetBytes);
        int result = present <= 0 ? 0 : space.writeZeroes(offsetBytes, present, mayUnmap);
        return result == 0 && fua ? flush() : result;
    }

    /** How far the file reaches. */
    public long sizeBytes() {
        return extent.fileBytes();
    }

    /** Cuts the file off or makes it longer, by a hole; nobody may use what is cut off. Rare, so it may allocate. */
    public int truncate(long newSizeBytes) {
        if (readOnly) {
            return -Errno.EROFS;
        }
        long before = extent.fileBytes();
        if (file.mapping != null && newSizeBytes < before) {
            file.mapping.forget(newSizeBytes, before - newSizeBytes);
        }
        int result = context.runBlocking(() -> PosixFile.ftruncate(file.fd, newSizeBytes));
        if (result == 0) {
            extent.resize(newSizeBytes);
        }
        return result;
    }

    /** Holes of the file; what lies behind its end is one. */
    @Override
    public int status(long offsetBytes, long lengthBytes, BlockStatus out) {
        return holes.status(file, context, offsetBytes, lengthBytes, out);
    }

    @Override
    public void close() {
        bounced.close();
        io.close();
        file.openChannels.decrementAndGet();
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.BlockStatus;
import dev.vublk.blockdev.IoContext;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.PosixFile;
import java.util.function.IntSupplier;
import org.jspecify.annotations.Nullable;

/**
 * A file or block device on one loop, with either engine: decides which way a request goes, and what makes it stable.
 * Runs on its loop; allocates nothing once as many requests were under way before.
 */
final class FileBlockChannel implements BlockChannel {
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

    /** Writes of the first bytes, if they decide what the image is, are copied and looked at. */
    private final int checkedBytes;

    private final boolean readOnly;
    private final boolean noFlush;
    private final boolean direct;

    FileBlockChannel(SharedFile file, IoContext context, FileIo io) {
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
        this.checkedBytes = file.isProbedRaw() ? ImageFormat.HEAD_BYTES : 0;
        this.readOnly = file.limits.readOnly();
        this.noFlush = file.options.cacheMode().noFlush();
        this.direct = file.options.cacheMode().direct();
    }

    @Override
    public int readv(long offsetBytes, long iovAddress, int iovCount, long lengthBytes) {
        boolean pastEnd = offsetBytes + lengthBytes > extent.fileBytes();
        if (pastEnd && !isPresent(offsetBytes, lengthBytes)) {
            return -Errno.EIO;
        }
        if (pastEnd || !alignment.fits(offsetBytes, iovAddress, iovCount, lengthBytes)) {
            return bounced.readv(offsetBytes, iovAddress, lengthBytes);
        }
        return transfer.readv(offsetBytes, iovAddress, iovCount, lengthBytes);
    }

    @Override
    public int writev(long offsetBytes, long iovAddress, int iovCount, long lengthBytes, boolean fua) {
        if (readOnly) {
            return -Errno.EROFS;
        }
        if (!isPresent(offsetBytes, lengthBytes)) {
            return -Errno.EIO;
        }
        boolean stable = fua && !noFlush;
        int result = write(offsetBytes, iovAddress, iovCount, lengthBytes, stable);
        if (!stable) {
            return result;
        }
        if (!file.canDsync()) {
            return result == 0 ? flush() : result; // A write that failed has synced nothing.
        }
        if (result == -Errno.EIO && !direct) {
            // Syncing may have met, and so used up, the one report of an older write's failure.
            file.flushes.fail(result);
        }
        return result;
    }

    /** False behind the end of an image that has shrunk. A write there would let the file grow again. */
    private boolean isPresent(long offsetBytes, long lengthBytes) {
        return offsetBytes + lengthBytes <= extent.presentBytes();
    }

    private int write(long offsetBytes, long iovAddress, int iovCount, long lengthBytes, boolean stable) {
        int rwFlags = stable && file.canDsync() ? PosixFile.RWF_DSYNC : 0;
        RangeLock.@Nullable Range range = guard.acquire(offsetBytes, lengthBytes);
        try {
            return offsetBytes >= checkedBytes && alignment.fits(offsetBytes, iovAddress, iovCount, lengthBytes)
                    ? transfer.writev(offsetBytes, iovAddress, iovCount, lengthBytes, rwFlags)
                    : bounced.writev(offsetBytes, iovAddress, lengthBytes, rwFlags);
        } finally {
            guard.release(range);
        }
    }

    @Override
    public int flush() {
        return noFlush || readOnly ? 0 : file.flushes.flush(fdatasync, queue);
    }

    @Override
    public int discard(long offsetBytes, long lengthBytes) {
        if (readOnly) {
            return -Errno.EROFS;
        }
        return isPresent(offsetBytes, lengthBytes) ? space.discard(offsetBytes, lengthBytes) : -Errno.EIO;
    }

    @Override
    public int writeZeroes(long offsetBytes, long lengthBytes, boolean mayUnmap, boolean fua) {
        if (readOnly) {
            return -Errno.EROFS;
        }
        if (!isPresent(offsetBytes, lengthBytes)) {
            return -Errno.EIO;
        }
        int result = space.writeZeroes(offsetBytes, lengthBytes, mayUnmap);
        return result == 0 && fua ? flush() : result;
    }

    /**
     * By the device where it can; otherwise zeroes are written over the data, and only when they are stable is the space
     * given back: the other way round the old data would stay in blocks that nobody knows of any more.
     */
    @Override
    public int secureErase(long offsetBytes, long lengthBytes) {
        if (readOnly) {
            return -Errno.EROFS;
        }
        if (!isPresent(offsetBytes, lengthBytes)) {
            return -Errno.EIO;
        }
        int result = space.eraseByDevice(offsetBytes, lengthBytes);
        if (!Errno.isUnsupported(result)) {
            return result;
        }
        result = space.overwrite(offsetBytes, lengthBytes);
        if (result == 0) {
            result = flush();
        }
        return result == 0 ? space.discard(offsetBytes, lengthBytes) : result;
    }

    @Override
    public int status(long offsetBytes, long lengthBytes, BlockStatus out) {
        return isPresent(offsetBytes, lengthBytes)
                ? holes.status(file, context, offsetBytes, lengthBytes, out)
                : -Errno.EIO;
    }

    @Override
    public boolean failsAlone() {
        return true;
    }

    @Override
    public long lifetime() {
        if (file.health == null) {
            return -Errno.EOPNOTSUPP;
        }
        LifetimeCall call = new LifetimeCall(file.health);
        int result = context.runBlocking(call);
        return result < 0 ? result : call.lifetime;
    }

    @Override
    public void close() {
        bounced.close();
        io.close();
        file.openChannels.decrementAndGet();
    }

    /** The question to the device as a task; rare, so one each time. */
    private static final class LifetimeCall implements IoContext.BlockingCall {
        private final DeviceHealth health;
        private long lifetime;

        private LifetimeCall(DeviceHealth health) {
            this.health = health;
        }

        @Override
        public int run() {
            lifetime = health.lifetime();
            return (int) Math.min(lifetime, 0);
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import dev.vublk.blockdev.IoContext;
import dev.vublk.blockdev.IoRing;
import dev.vublk.blockdev.file.LoopQueue;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.FileStatus;
import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.blockdev.linux.PosixFile;
import java.io.IOException;
import org.jspecify.annotations.Nullable;

/** An image's file by plain system calls, for when it is opened or closed and no loop is there. Used by one thread at a time. */
final class BlockingMetadataFile implements MetadataFile {
    private static final int PUNCH_HOLE = PosixFile.FALLOC_FL_PUNCH_HOLE | PosixFile.FALLOC_FL_KEEP_SIZE;

    private final int fd;
    private final boolean noFlush;
    private final boolean discards;
    private final LoopQueue queue = new LoopQueue(new Alone());

    /**
     * A file that stays its opener's.
     *
     * @param noFlush whether nothing waits for the disk
     * @param discards whether space is given back
     */
    BlockingMetadataFile(int fd, boolean noFlush, boolean discards) {
        this.fd = fd;
        this.noFlush = noFlush;
        this.discards = discards;
    }

    @Override
    public int read(long offsetBytes, long address, int lengthBytes) {
        int done = 0;
        while (done < lengthBytes) {
            int result = PosixFile.read(fd, address + done, lengthBytes - done, offsetBytes + done);
            if (result == 0) {
                NativeMemory.zero(address + done, lengthBytes - done);
                return 0;
            }
            if (result < 0 && result != -Errno.EINTR) {
                return result;
            }
            done += Math.max(result, 0);
        }
        return 0;
    }

    @Override
    public int write(long offsetBytes, long address, int lengthBytes, boolean stable) {
        int done = 0;
        while (done < lengthBytes) {
            int result = PosixFile.write(fd, address + done, lengthBytes - done, offsetBytes + done);
            if (result < 0 && result != -Errno.EINTR) {
                return result;
            }
            done += Math.max(result, 0);
        }
        return stable ? flush() : 0;
    }

    @Override
    public int writev(long offsetBytes, long iovAddress, int iovCount, long lengthBytes, boolean stable) {
        throw new IllegalStateException("no guest is there yet");
    }

    @Override
    public int writeZeroes(long offsetBytes, long lengthBytes) {
        int result = PosixFile.fallocate(fd, PUNCH_HOLE, offsetBytes, lengthBytes);
        return Errno.isUnsupported(result) ? writeZeroBytes(offsetBytes, lengthBytes) : result;
    }

    private int writeZeroBytes(long offsetBytes, long lengthBytes) {
        int piece = (int) Math.min(lengthBytes, 1 << 20);
        long zeroes = NativeMemory.allocateZeroed(piece);
        try {
            for (long done = 0; done < lengthBytes; done += piece) {
                int result = write(offsetBytes + done, zeroes, (int) Math.min(piece, lengthBytes - done), false);
                if (result < 0) {
                    return result;
                }
            }
            return 0;
        } finally {
            NativeMemory.free(zeroes);
        }
    }

    @Override
    public int discard(long offsetBytes, long lengthBytes) {
        return discards ? Math.min(0, PosixFile.fallocate(fd, PUNCH_HOLE, offsetBytes, lengthBytes)) : 0;
    }

    @Override
    public int truncate(long sizeBytes) {
        return PosixFile.ftruncate(fd, sizeBytes);
    }

    @Override
    public int flush() {
        return noFlush ? 0 : PosixFile.fdatasync(fd);
    }

    @Override
    public long sizeBytes() {
        try {
            return FileStatus.of(fd).sizeBytes();
        } catch (IOException e) {
            throw new IllegalStateException("an open file cannot be measured", e);
        }
    }

    @Override
    public LoopQueue queue() {
        return queue;
    }

    /** Nobody else is there to wait for. */
    private static final class Alone implements IoContext {
        @Override
        public @Nullable IoRing ring() {
            return null;
        }

        @Override
        public int runBlocking(BlockingCall call) {
            return call.run();
        }

        @Override
        public WaitQueue newWaitQueue() {
            throw new IllegalStateException("an image that is opened or closed is still in use");
        }
    }
}

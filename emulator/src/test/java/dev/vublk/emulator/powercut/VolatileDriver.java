// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.powercut;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockLimits;
import dev.vublk.blockdev.IoContext;
import dev.vublk.blockdev.IoRing;
import dev.vublk.blockdev.linux.PosixFile;
import dev.vublk.emulator.powercut.VolatileDisk.Buffers;

/** The real file driver on a {@link VolatileDisk}: its system calls go there, on workers. Thread-safe. */
final class VolatileDriver implements BlockDriver {
    private final BlockDriver file;
    private final VolatileDisk disk;

    VolatileDriver(BlockDriver file, VolatileDisk disk) {
        this.file = file;
        this.disk = disk;
    }

    @Override
    public BlockLimits limits() {
        return file.limits();
    }

    @Override
    public BlockChannel openChannel(IoContext context) {
        return file.openChannel(new VolatileIoContext(context, disk));
    }

    @Override
    public void close() {
        file.close();
    }

    /** The loop's real context, but for the ring. */
    private record VolatileIoContext(IoContext loop, VolatileDisk disk) implements IoContext, IoRing {
        @Override
        public IoRing ring() {
            return this;
        }

        @Override
        public int runBlocking(BlockingCall call) {
            return loop.runBlocking(call);
        }

        @Override
        public WaitQueue newWaitQueue() {
            return loop.newWaitQueue();
        }

        @Override
        public int readv(int fd, long iovAddress, int iovCount, long offsetBytes, int rwFlags) {
            Buffers buffers = Buffers.ofIovecs(iovAddress, iovCount);
            return loop.runBlocking(() -> disk.read(buffers, offsetBytes));
        }

        @Override
        public int writev(int fd, long iovAddress, int iovCount, long offsetBytes, int rwFlags) {
            return write(Buffers.ofIovecs(iovAddress, iovCount), offsetBytes, rwFlags);
        }

        @Override
        public int read(int fd, long address, int lengthBytes, long offsetBytes, int rwFlags) {
            return loop.runBlocking(() -> disk.read(Buffers.of(address, lengthBytes), offsetBytes));
        }

        @Override
        public int write(int fd, long address, int lengthBytes, long offsetBytes, int rwFlags) {
            return write(Buffers.of(address, lengthBytes), offsetBytes, rwFlags);
        }

        private int write(Buffers buffers, long offsetBytes, int rwFlags) {
            boolean dsync = (rwFlags & PosixFile.RWF_DSYNC) != 0;
            return loop.runBlocking(() -> disk.write(buffers, offsetBytes, dsync));
        }

        @Override
        public int fsync(int fd, boolean dataOnly) {
            return loop.runBlocking(disk::sync);
        }

        @Override
        public int fallocate(int fd, int mode, long offsetBytes, long lengthBytes) {
            return loop.runBlocking(() -> disk.zero(offsetBytes, lengthBytes));
        }
    }
}

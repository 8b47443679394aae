// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockDrivers;
import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.BlockOptions.CacheMode;
import dev.vublk.blockdev.BlockOptions.IoEngine;
import dev.vublk.blockdev.IoContext;
import dev.vublk.blockdev.IoRing;
import dev.vublk.blockdev.linux.Iovec;
import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.blockdev.linux.PosixFile;
import dev.vublk.blockdev.testing.TestImages;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Requests cost no garbage once the same was done before. */
final class AllocationTest {
    private static final int MEASURED_ROUNDS = 2_000;

    /** So long is measured until all of it is compiled; before, calls of native functions make garbage. */
    private static final Duration COMPILED_WITHIN = Duration.ofSeconds(60);

    /** What measuring itself may cost, far below one object a round. */
    private static final long TOLERATED_BYTES = 4_096;

    /** A loop without waiting and without garbage of its own: system calls on the caller's thread. */
    private static final class InlineLoop implements IoContext, IoRing {
        @Override
        public IoRing ring() {
            return this;
        }

        @Override
        public int runBlocking(BlockingCall call) {
            return call.run();
        }

        @Override
        public WaitQueue newWaitQueue() {
            return new WaitQueue() {
                @Override
                public void await() {
                    throw new AssertionError("nobody to wait for");
                }

                @Override
                public void wakeOne() {}

                @Override
                public void wakeAll() {}

                @Override
                public boolean isEmpty() {
                    return true;
                }

                @Override
                public void wakeAllFromAnyThread() {}
            };
        }

        @Override
        public int readv(int fd, long iovAddress, int iovCount, long offsetBytes, int rwFlags) {
            return PosixFile.readv(fd, iovAddress, iovCount, offsetBytes, rwFlags);
        }

        @Override
        public int writev(int fd, long iovAddress, int iovCount, long offsetBytes, int rwFlags) {
            return PosixFile.writev(fd, iovAddress, iovCount, offsetBytes, rwFlags);
        }

        @Override
        public int read(int fd, long address, int lengthBytes, long offsetBytes, int rwFlags) {
            return PosixFile.read(fd, address, lengthBytes, offsetBytes);
        }

        @Override
        public int write(int fd, long address, int lengthBytes, long offsetBytes, int rwFlags) {
            return PosixFile.write(fd, address, lengthBytes, offsetBytes);
        }

        @Override
        public int fsync(int fd, boolean dataOnly) {
            return PosixFile.fdatasync(fd);
        }

        @Override
        public int fallocate(int fd, int mode, long offsetBytes, long lengthBytes) {
            return PosixFile.fallocate(fd, mode, offsetBytes, lengthBytes);
        }
    }

    @ParameterizedTest
    @CsvSource({
        "WRITEBACK,IO_URING",
        "WRITEBACK,THREADS",
        "WRITEBACK,MMAP",
        "NONE,IO_URING",
        "NONE,THREADS",
        "NONE,MMAP"
    })
    void shouldNotAllocatePerRequest(CacheMode mode, IoEngine engine) throws Exception {
        // tmpfs, where the machine has it: no disk to wait for in tens of thousands of requests
        Path directory = TestImages.directories().getLast();
        Path image = TestImages.file(directory, 1 << 20);
        BlockOptions options =
                BlockOptions.of(image.toString()).withCacheMode(mode).withEngine(engine);
        long memory = NativeMemory.allocateZeroed(16384);
        long iov = NativeMemory.allocateZeroed(64);
        try (BlockDriver driver = BlockDrivers.open(options);
                BlockChannel channel = driver.openChannel(new InlineLoop())) {
            long end = System.nanoTime() + COMPILED_WITHIN.toNanos();
            long allocated;
            do {
                allocated = allocatedBy(channel, iov, memory);
            } while (allocated >= TOLERATED_BYTES && System.nanoTime() < end);
            assertThat(allocated).isLessThan(TOLERATED_BYTES);
        } finally {
            NativeMemory.free(iov);
            NativeMemory.free(memory);
            Files.delete(image);
        }
    }

    private static long allocatedBy(BlockChannel channel, long iov, long memory) {
        long before = allocatedBytes();
        for (int i = 0; i < MEASURED_ROUNDS; i++) {
            round(channel, iov, memory);
        }
        return allocatedBytes() - before;
    }

    /** One and two buffers, aligned and not, syncing and not, and a flush. */
    private static void round(BlockChannel channel, long iov, long memory) {
        Iovec.set(iov, memory, 4096);
        check(channel.writev(0, iov, 1, 4096, false));
        Iovec.set(iov, memory, 4096);
        check(channel.readv(0, iov, 1, 4096));
        Iovec.set(iov, memory + 1, 512);
        Iovec.set(iov + Iovec.SIZE_BYTES, memory + 4096, 512);
        check(channel.writev(4096, iov, 2, 1024, true));
        Iovec.set(iov, memory + 1, 512);
        Iovec.set(iov + Iovec.SIZE_BYTES, memory + 4096, 512);
        check(channel.readv(4096, iov, 2, 1024));
        check(channel.flush());
    }

    private static void check(int result) {
        if (result != 0) {
            throw new AssertionError("errno " + -result);
        }
    }

    private static long allocatedBytes() {
        var threads = (com.sun.management.ThreadMXBean) ManagementFactory.getThreadMXBean();
        return threads.getCurrentThreadAllocatedBytes();
    }
}

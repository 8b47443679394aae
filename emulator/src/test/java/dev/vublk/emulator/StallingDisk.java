// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockLimits;
import dev.vublk.blockdev.IoContext;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;

/**
 * A disk in memory whose system calls, made on worker threads, end when the test says so: those that a worker has not come to
 * wait behind them, as they do with the threads engine on a disk that is slow. Any thread.
 */
public final class StallingDisk implements BlockDriver {
    private final BlockLimits limits;
    private final boolean failsAlone;
    private final byte[] content;
    private final List<Long> begun = new CopyOnWriteArrayList<>();
    private final Semaphore begins = new Semaphore(0);
    private volatile CountDownLatch stalled = new CountDownLatch(0);

    /** @param failsAlone what {@link BlockChannel#failsAlone} says */
    public StallingDisk(int sizeBytes, boolean writeback, boolean failsAlone) {
        limits = ScriptedDisk.limits(sizeBytes, writeback);
        this.failsAlone = failsAlone;
        content = new byte[sizeBytes];
    }

    /** From now on calls do not end. */
    public void stall() {
        stalled = new CountDownLatch(1);
    }

    public void goOn() {
        stalled.countDown();
    }

    /** Waits until so many more calls have begun. */
    public void awaitBegun(int count) throws InterruptedException {
        begins.acquire(count);
    }

    /** Where the calls began, in the order in which they did. */
    public List<Long> begun() {
        return List.copyOf(begun);
    }

    public byte[] content() {
        return content;
    }

    @Override
    public BlockLimits limits() {
        return limits;
    }

    @Override
    public BlockChannel openChannel(IoContext context) {
        return new Channel(context);
    }

    @Override
    public void close() {}

    private int call(boolean write, long offsetBytes, long iovAddress, int iovCount) {
        begun.add(offsetBytes);
        begins.release();
        try {
            stalled.await();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
        VectorCopy.move(write, content, (int) offsetBytes, iovAddress, iovCount);
        return 0;
    }

    private final class Channel implements BlockChannel {
        private final IoContext context;

        private Channel(IoContext context) {
            this.context = context;
        }

        @Override
        public int readv(long offsetBytes, long iovAddress, int iovCount, long lengthBytes) {
            return context.runBlocking(() -> call(false, offsetBytes, iovAddress, iovCount));
        }

        @Override
        public int writev(long offsetBytes, long iovAddress, int iovCount, long lengthBytes, boolean fua) {
            return context.runBlocking(() -> call(true, offsetBytes, iovAddress, iovCount));
        }

        @Override
        public int flush() {
            return 0;
        }

        @Override
        public int discard(long offsetBytes, long lengthBytes) {
            return 0;
        }

        @Override
        public int writeZeroes(long offsetBytes, long lengthBytes, boolean mayUnmap, boolean fua) {
            return 0;
        }

        @Override
        public boolean failsAlone() {
            return failsAlone;
        }

        @Override
        public void close() {}
    }
}

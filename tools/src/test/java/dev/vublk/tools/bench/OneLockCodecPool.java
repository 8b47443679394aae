// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import dev.vublk.blockdev.codec.BlockCodec;
import dev.vublk.blockdev.codec.BlockEncoder;
import dev.vublk.blockdev.codec.CodecBuffer;
import dev.vublk.blockdev.codec.ZeroScan;
import dev.vublk.blockdev.linux.NativeMemory;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * A pool as QEMU's migration had until 2018: each worker has one request at most, a lock and a condition; one more lock and
 * condition, of all, tell which workers are done. One thread, the submitter, calls everything.
 */
final class OneLockCodecPool implements CodecPool {
    private final ReentrantLock doneLock = new ReentrantLock();
    private final Condition someDone = doneLock.newCondition();
    private final List<Worker> workers = new ArrayList<>();
    private final boolean waits;
    private long outputBytes;
    private long busyBlocks;

    /** @param waits whether the submitter waits for a worker, or writes the block as it is */
    OneLockCodecPool(BlockCodec codec, int level, int threads, int blockBytes, boolean waits) {
        this.waits = waits;
        for (int i = 0; i < threads; i++) {
            workers.add(new Worker(codec, level, blockBytes));
        }
        workers.forEach(worker -> worker.thread.start());
    }

    @Override
    public void submit(long address, int lengthBytes) throws InterruptedException {
        Worker free = null;
        doneLock.lock();
        try {
            free = takeDone();
            while (free == null && waits) {
                someDone.await();
                free = takeDone();
            }
        } finally {
            doneLock.unlock();
        }
        if (free == null) {
            if (!ZeroScan.isZero(address, lengthBytes)) {
                busyBlocks++;
                outputBytes += lengthBytes;
            }
        } else {
            outputBytes += free.takeResult();
            free.give(address, lengthBytes);
        }
    }

    /** Under the lock. */
    private @Nullable Worker takeDone() {
        for (Worker worker : workers) {
            if (worker.done) {
                worker.done = false;
                return worker;
            }
        }
        return null;
    }

    @Override
    public void finish() throws InterruptedException {
        for (Worker worker : workers) {
            doneLock.lock();
            try {
                while (!worker.done) {
                    someDone.await();
                }
            } finally {
                doneLock.unlock();
            }
            outputBytes += worker.takeResult();
        }
    }

    @Override
    public long outputBytes() {
        return outputBytes;
    }

    @Override
    public long busyBlocks() {
        return busyBlocks;
    }

    @Override
    public List<Thread> threads() {
        return workers.stream().map(worker -> worker.thread).toList();
    }

    @Override
    public void close() {
        for (Worker worker : workers) {
            worker.lock.lock();
            try {
                worker.quit = true;
                worker.given.signal();
            } finally {
                worker.lock.unlock();
            }
            worker.join();
        }
    }

    private final class Worker implements Runnable {
        private final ReentrantLock lock = new ReentrantLock();
        private final Condition given = lock.newCondition();
        private final BlockEncoder encoder;
        private final CodecBuffer input;
        private final CodecBuffer output;
        private final Thread thread = Thread.ofPlatform().daemon(true).unstarted(this);
        private boolean quit;
        private int inputBytes;
        private int result;

        /** Under the lock of all. */
        private boolean done = true;

        Worker(BlockCodec codec, int level, int blockBytes) {
            encoder = codec.newEncoder(level);
            input = new CodecBuffer(blockBytes);
            output = new CodecBuffer(codec.encodedBytesMax(blockBytes));
        }

        void join() {
            try {
                thread.join();
            } catch (InterruptedException e) {
                throw new IllegalStateException("interrupted", e);
            }
        }

        int takeResult() {
            int bytes = result;
            result = 0;
            return bytes;
        }

        void give(long address, int lengthBytes) {
            lock.lock();
            try {
                NativeMemory.copy(address, input.address(), lengthBytes);
                inputBytes = lengthBytes;
                given.signal();
            } finally {
                lock.unlock();
            }
        }

        @Override
        public void run() {
            try (encoder;
                    input;
                    output) {
                for (int length = next(); length > 0; length = next()) {
                    int encoded = ZeroScan.isZero(input.address(), length) ? 0 : encoder.encode(input, length, output);
                    result = encoded < 0 ? length : encoded;
                    doneLock.lock();
                    try {
                        done = true;
                        someDone.signal();
                    } finally {
                        doneLock.unlock();
                    }
                }
            }
        }

        /** The next block's length; 0 at the end. */
        private int next() {
            lock.lock();
            try {
                while (inputBytes == 0 && !quit) {
                    given.awaitUninterruptibly();
                }
                int length = inputBytes;
                inputBytes = 0;
                return length;
            } finally {
                lock.unlock();
            }
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.worker.compress;

import java.lang.invoke.VarHandle;
import java.util.concurrent.locks.LockSupport;
import org.jctools.queues.SpscArrayQueue;

/**
 * A worker of a {@link CodecEngine}: takes blocks from its own ring, which the submitter fills, and sleeps when it is empty.
 *
 * <p>{@link #offer}, {@link #stop} and {@link #join} are the submitter's; {@link #run} is the worker's thread.
 */
final class CodecWorker implements Runnable {
    /** Requests that may wait for a worker: enough that it does not run dry while the submitter reads the next. */
    static final int RING_CAPACITY = 4;

    private final SpscArrayQueue<CodecBlock> ring = new SpscArrayQueue<>(RING_CAPACITY);
    private final BlockWork work;
    private final CodecResults results;
    private final Thread thread;
    private volatile boolean parked;
    private volatile boolean stopping;
    private volatile long endedCpuNs = -1;

    CodecWorker(String name, BlockWork work, CodecResults results) {
        this.work = work;
        this.results = results;
        thread = Thread.ofPlatform().name(name).daemon(true).unstarted(this);
    }

    Thread thread() {
        return thread;
    }

    void start() {
        thread.start();
    }

    /** False when the ring is full. Wakes the worker only if it sleeps. */
    boolean offer(CodecBlock block) {
        if (!ring.offer(block)) {
            return false;
        }
        VarHandle.fullFence(); // [P] The block is in the ring before we look whether anybody sleeps.
        if (parked) {
            parked = false; // One wake-up is enough.
            LockSupport.unpark(thread);
        }
        return true;
    }

    /** Lets it finish the block that it has in hand, and no other. */
    void stop() {
        stopping = true;
        LockSupport.unpark(thread);
    }

    void join() {
        boolean interrupted = false;
        while (true) {
            try {
                thread.join();
                break;
            } catch (InterruptedException _) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    long cpuNs() {
        long ended = endedCpuNs;
        return ended >= 0 ? ended : ThreadCpu.ofNs(thread);
    }

    @Override
    public void run() {
        try (work) {
            while (!stopping) {
                CodecBlock block = ring.poll();
                if (block == null) {
                    sleep();
                } else {
                    process(block);
                }
            }
        } finally {
            endedCpuNs = ThreadCpu.currentNs();
        }
    }

    private void sleep() {
        parked = true; // [P] Volatile, so that the ring is looked at after it.
        if (ring.peek() == null && !stopping) {
            LockSupport.park(this);
        }
        parked = false;
    }

    private void process(CodecBlock block) {
        process(work, block);
        results.offer(block);
    }

    /** Any thread: does the work, and notes in the block what it throws; whoever did it is fit for the next block. */
    static void process(BlockWork work, CodecBlock block) {
        try {
            work.process(block);
        } catch (Throwable t) { // The submitter gets it with the result.
            block.failure = t;
        }
    }
}

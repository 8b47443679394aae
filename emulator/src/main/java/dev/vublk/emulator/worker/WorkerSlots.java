// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.worker;

import java.util.concurrent.atomic.AtomicLongArray;
import java.util.concurrent.atomic.AtomicReferenceArray;
import java.util.concurrent.locks.LockSupport;

/**
 * The places of a pool's workers, and a bit per place that says "parked". Any thread, without locks.
 *
 * <p>Waking takes the lowest parked place, so that workers in high places stay idle and leave. A bitmap and not a linked
 * stack of workers: workers come back to be idle again and again, and a stack without locks would suffer from ABA.
 */
final class WorkerSlots {
    private final AtomicReferenceArray<Worker> workers;
    private final AtomicLongArray parked;

    WorkerSlots(int count) {
        workers = new AtomicReferenceArray<>(count);
        parked = new AtomicLongArray((count + Long.SIZE - 1) / Long.SIZE);
    }

    /**
     * Finds a place for a new worker. One that was counted out of the pool may still be about to leave its place; the
     * creator, which is never a loop, waits for those few instructions.
     */
    @SuppressWarnings("ThreadPriorityCheck") // nothing depends on yield, it only lets the leaving one finish sooner
    int enter(Worker worker) {
        while (true) {
            for (int i = 0; i < workers.length(); i++) {
                Worker before = workers.get(i);
                if ((before == null || before.hasLeft()) && workers.compareAndSet(i, before, worker)) {
                    return i;
                }
            }
            Thread.yield();
        }
    }

    /** Gives back the place of a worker whose thread could not be created. */
    void clear(int slot) {
        workers.set(slot, null);
    }

    /** Waits for the end of all threads. Nobody enters any more. */
    void join() throws InterruptedException {
        for (int i = 0; i < workers.length(); i++) {
            Worker worker = workers.get(i);
            if (worker != null) {
                worker.join();
            }
        }
    }

    void setParked(int slot) {
        parked.getAndAccumulate(slot / Long.SIZE, 1L << slot, (bits, bit) -> bits | bit);
    }

    boolean isParked(int slot) {
        return (parked.get(slot / Long.SIZE) & 1L << slot) != 0;
    }

    /** The worker itself takes the bit back. False when a waker has taken it. */
    boolean clearParked(int slot) {
        return clearBit(slot / Long.SIZE, 1L << slot);
    }

    private boolean clearBit(int word, long bit) {
        long bits = parked.get(word);
        while ((bits & bit) != 0) {
            long seen = parked.compareAndExchange(word, bits, bits & ~bit);
            if (seen == bits) {
                return true;
            }
            bits = seen;
        }
        return false;
    }

    /**
     * Wakes one parked worker. The caller has the right to one: it took it out of the idle count, or took over from one
     * who had. A worker sets its bit before it is counted idle, so a bit is there for each such right.
     */
    void wakeOne() {
        while (true) {
            for (int word = 0; word < parked.length(); word++) {
                for (long bits = parked.get(word); bits != 0; bits &= bits - 1) {
                    if (clearBit(word, Long.lowestOneBit(bits))) {
                        Worker worker = workers.get(word * Long.SIZE + Long.numberOfTrailingZeros(bits));
                        LockSupport.unpark(worker.thread());
                        return;
                    }
                }
            }
            Thread.onSpinWait();
        }
    }
}

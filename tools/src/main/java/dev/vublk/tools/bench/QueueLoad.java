// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import dev.vublk.vhostuser.frontend.DriverVirtqueue;
import dev.vublk.vhostuser.memory.HostMemory;

/**
 * Keeps one queue busy: takes what the device has finished and gives it as much again. Nothing is allocated once it runs, and
 * the clock is read once a batch. Runs on its client thread.
 *
 * <p>A request's latency is from the reading of the clock that preceded its submission to the one that followed the sight of
 * its completion: it contains the client's work between the two, some tens of nanoseconds. With a rate it begins when the
 * request was due, however late it was submitted: corrected for coordinated omission.
 */
final class QueueLoad {
    /** How often the wish for no interrupts is renewed: well before the device gets to the index that was named. */
    private static final int SUPPRESS_EVERY = 0x2000;

    private final BenchQueue queue;
    private final DriverVirtqueue ring;
    private final RequestSlots slots;
    private final LoadStatistics statistics;
    private final RandomSequence random;
    private final boolean event;
    private final boolean isRandom;
    private final boolean reads;
    private final boolean writes;
    private final long firstSector;
    private final long sectorsPerBlock;
    private final long blocks;
    private final double intervalNs;
    private final long[] beganNs;
    private final int[] free;
    private int freeCount;
    private long nextBlock;
    private long paceStartNs;
    private long issued;
    private int sinceSuppressed;
    private boolean stopping;

    /**
     * @param part which of how many queues this is: sequential queues begin apart, a rate is shared
     * @param blocks of the disk's part that is used
     */
    QueueLoad(
            BenchQueue queue,
            RequestSlots slots,
            BenchOptions options,
            int part,
            long blocks,
            LoadStatistics statistics) {
        this.queue = queue;
        this.slots = slots;
        this.statistics = statistics;
        this.blocks = blocks;
        ring = queue.ring();
        random = new RandomSequence(options.seed() + part);
        event = options.event();
        isRandom = options.workload().isRandom();
        reads = options.workload().reads();
        writes = options.workload().writes();
        firstSector = options.offsetBytes() / BlkSpec.SECTOR_BYTES;
        sectorsPerBlock = options.blockBytes() / BlkSpec.SECTOR_BYTES;
        nextBlock = blocks / options.queues() * part;
        intervalNs = options.ratePerSecond() == 0 ? 0 : 1e9 * options.queues() / options.ratePerSecond();
        beganNs = new long[slots.count()];
        free = new int[slots.count()];
        fillData(options.blockBytes());
    }

    /** Data that does not compress, written once: what is measured is the disk. */
    private void fillData(int blockBytes) {
        for (int slot = 0; slot < slots.count(); slot++) {
            long data = slots.dataOf(slot);
            for (int i = 0; i < blockBytes; i += Long.BYTES) {
                HostMemory.putLong(data + i, writes ? random.next() : 0);
            }
        }
    }

    BenchQueue queue() {
        return queue;
    }

    /** Submits the first requests, or begins to count the time of a rate. */
    void start(long nowNs) {
        for (int slot = slots.count() - 1; slot >= 0; slot--) {
            free[freeCount++] = slot;
        }
        paceStartNs = nowNs;
        if (!event) {
            ring.suppressInterrupts();
        }
        if (intervalNs == 0) {
            while (freeCount > 0) {
                submit(free[--freeCount], nowNs);
            }
            queue.publish();
        }
    }

    /** Submits nothing any more. */
    void stop() {
        stopping = true;
    }

    /** Requests that the device has. */
    int inFlight() {
        return slots.count() - freeCount;
    }

    /** Looks at the ring once, and takes and submits what is to be. Returns the number of requests finished. */
    int turn() {
        int used = ring.countUsed();
        if (used > 0) {
            complete(used);
        }
        if (intervalNs > 0 && !stopping) {
            submitDue();
        }
        return used;
    }

    private void complete(int used) {
        long nowNs = System.nanoTime();
        boolean again = intervalNs == 0 && !stopping;
        for (int i = 0; i < used; i++) {
            ring.takeUsed();
            int slot = slots.usedSlot();
            if (stopping) {
                statistics.recordStatus(slots.status(slot));
            } else {
                statistics.record(nowNs - beganNs[slot], slots.status(slot));
            }
            if (again) {
                submit(slot, nowNs);
            } else {
                free[freeCount++] = slot;
            }
        }
        if (again) {
            queue.publish();
        }
        sinceSuppressed += used;
        if (!event && sinceSuppressed >= SUPPRESS_EVERY) {
            sinceSuppressed = 0;
            ring.suppressInterrupts();
        }
    }

    /** Submits the requests whose time has come, as far as there are slots; the others keep their time. */
    private void submitDue() {
        long nowNs = System.nanoTime();
        boolean submitted = false;
        while (freeCount > 0 && dueNs() - nowNs <= 0) {
            submit(free[--freeCount], dueNs());
            issued++;
            submitted = true;
        }
        if (submitted) {
            queue.publish();
        }
    }

    private long dueNs() {
        return paceStartNs + (long) (issued * intervalNs);
    }

    /** How long until this queue must submit again: 0 when it is late already, very long when only completions count. */
    long dueInNs(long nowNs) {
        if (intervalNs == 0 || freeCount == 0 || stopping) {
            return Long.MAX_VALUE;
        }
        return Math.max(0, dueNs() - nowNs);
    }

    /** Requests that should have been submitted by now and were not, because every slot was in use. */
    long overdue(long nowNs) {
        return intervalNs == 0 ? 0 : Math.max(0, (long) ((nowNs - paceStartNs) / intervalNs) - issued);
    }

    private void submit(int slot, long beginNs) {
        beganNs[slot] = beginNs;
        long number = isRandom ? random.next() : 0;
        long block = isRandom ? Math.unsignedMultiplyHigh(number, blocks) : sequentialBlock();
        long sector = firstSector + block * sectorsPerBlock;
        // The lowest bit is not seen in the block number, which comes from the highest ones.
        if (reads && (!writes || (number & 1) == 0)) {
            slots.addRead(slot, sector);
        } else {
            slots.addWrite(slot, sector);
        }
    }

    private long sequentialBlock() {
        long block = nextBlock;
        nextBlock = block + 1 < blocks ? block + 1 : 0;
        return block;
    }
}

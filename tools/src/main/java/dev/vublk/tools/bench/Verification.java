// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import dev.vublk.vhostuser.frontend.DriverVirtqueue;
import java.io.IOException;
import java.util.BitSet;
import java.util.concurrent.TimeUnit;
import java.util.function.LongConsumer;
import org.jspecify.annotations.Nullable;

/**
 * Writes a part of the disk, reads it back and checks every byte: pass after pass until the time is over, at least once. A
 * random one overwrites and reads blocks at random between the two, never one block twice at once. Runs on the caller's
 * thread, which drives all active queues.
 */
public final class Verification {
    /** Generations are kept for each block. */
    private static final long BLOCKS_MAX = 8 << 20;

    private static final long SLEEP_NS_MAX = TimeUnit.MILLISECONDS.toNanos(100);
    private static final long STALL_NS = TimeUnit.SECONDS.toNanos(20);
    private static final long PROGRESS_NS = TimeUnit.MILLISECONDS.toNanos(250);

    /** What a phase does with blocks. */
    private enum Phase {
        WRITE_ALL,
        READ_ALL,
        MIXED,
        FLUSH
    }

    private final BenchOptions options;
    private final Runnable betweenPhases;
    private final RandomSequence random;
    private final BlockPattern pattern;

    private int[] generations = new int[0];
    private final BitSet busy = new BitSet();
    private Phase phase = Phase.WRITE_ALL;
    private long nextBlock;
    private long phaseEndNs;

    private long blocksWritten;
    private long blocksRead;
    private long wrongBlocks;
    private long firstWrongBlock;
    private @Nullable String firstWrong;
    private int passes;

    public Verification(BenchOptions options) {
        this(options, () -> {});
    }

    /** @param betweenPhases is run when everything is written and before anything is read back */
    Verification(BenchOptions options, Runnable betweenPhases) {
        this.options = options;
        this.betweenPhases = betweenPhases;
        random = new RandomSequence(options.seed());
        pattern = new BlockPattern(options.blockBytes(), options.seed());
    }

    /**
     * Runs it.
     *
     * @param progress is told the number of blocks written and read several times a second
     * @return what was done, for people
     * @throws IOException the back end cannot be used, a request failed, or a block is wrong: one line for the user
     */
    public String run(LongConsumer progress) throws IOException {
        try (DriverSide side = DriverSide.open(options)) {
            if (side.blocks() > BLOCKS_MAX) {
                throw new IOException(
                        "too many blocks to verify, at most " + BLOCKS_MAX + ": use --size, or a larger --bs");
            }
            generations = new int[(int) side.blocks()];
            QueueSlots[] queues = new QueueSlots[options.queues()];
            for (int i = 0; i < queues.length; i++) {
                queues[i] = new QueueSlots(side.queue(i), side.slots(i));
            }
            long startNs = System.nanoTime();
            do {
                pass(side, queues, startNs + options.timeNs(), progress);
            } while (System.nanoTime() - startNs < options.timeNs());
            side.stop();
        }
        return passes + " passes: " + blocksWritten + " blocks written, " + blocksRead + " read and found right (seed "
                + options.seed() + ")";
    }

    private void pass(DriverSide side, QueueSlots[] queues, long endNs, LongConsumer progress) throws IOException {
        runPhase(Phase.WRITE_ALL, side, queues, progress);
        if (options.workload().isRandom()) {
            phaseEndNs = endNs;
            runPhase(Phase.MIXED, side, queues, progress);
        }
        if (side.disk().canFlush()) {
            runPhase(Phase.FLUSH, side, queues, progress);
        }
        betweenPhases.run();
        runPhase(Phase.READ_ALL, side, queues, progress);
        passes++;
    }

    private void runPhase(Phase newPhase, DriverSide side, QueueSlots[] queues, LongConsumer progress)
            throws IOException {
        phase = newPhase;
        nextBlock = 0;
        long lastProgressNs = System.nanoTime();
        long lastDoneNs = lastProgressNs;
        while (true) {
            int done = 0;
            int inFlight = 0;
            for (QueueSlots queue : queues) {
                done += queue.complete();
                queue.submit();
                inFlight += queue.inFlight();
            }
            if (inFlight == 0) {
                break;
            }
            long nowNs = System.nanoTime();
            if (done > 0) {
                lastDoneNs = nowNs;
            } else if (nowNs - lastDoneNs > STALL_NS) {
                throw new IOException(options.socket() + ": the back end has finished nothing for "
                        + TimeUnit.NANOSECONDS.toSeconds(STALL_NS) + " s");
            } else if (options.event()) {
                sleep(side, queues);
            }
            if (nowNs - lastProgressNs > PROGRESS_NS) {
                lastProgressNs = nowNs;
                progress.accept(blocksWritten + blocksRead);
                if (side.disk().hasFailed()) {
                    throw new IOException(options.socket() + ": the back end has hung up or given a queue up");
                }
            }
        }
        if (wrongBlocks > 0) {
            throw new IOException("verification failed (seed " + options.seed() + "): " + firstWrong
                    + (wrongBlocks > 1 ? "; " + wrongBlocks + " blocks are wrong" : ""));
        }
    }

    private static void sleep(DriverSide side, QueueSlots[] queues) {
        boolean another = false;
        for (QueueSlots queue : queues) {
            another |= queue.ring.requestInterrupt();
        }
        if (!another && side.calls(0).await(SLEEP_NS_MAX) > 0) {
            side.calls(0).take();
        }
    }

    /** The block for the next request, or -1 when the phase has none any more. */
    private long chooseBlock() {
        return switch (phase) {
            case WRITE_ALL, READ_ALL -> nextBlock < generations.length ? nextBlock++ : -1;
            case MIXED -> System.nanoTime() - phaseEndNs < 0 && wrongBlocks == 0 ? chooseIdleBlock() : -1;
            case FLUSH -> nextBlock++ == 0 ? 0 : -1;
        };
    }

    /** Two requests for one block at once have no order, so that nobody could say what it must hold. */
    private long chooseIdleBlock() {
        int block = busy.nextClearBit((int) random.next(generations.length));
        return block < generations.length ? block : -1;
    }

    private void check(long address, int block) {
        blocksRead++;
        int at = pattern.wrongByte(address, block, generations[block]);
        if (at < 0) {
            return;
        }
        wrongBlocks++;
        if (firstWrong == null || block < firstWrongBlock) {
            firstWrongBlock = block;
            long offset = options.offsetBytes() + (long) block * options.blockBytes();
            firstWrong =
                    "block " + block + " at offset " + offset + " is wrong from its byte " + at + " on: expected block "
                            + block + " of generation " + generations[block] + ", " + pattern.describe(address);
        }
    }

    /** The requests of one queue. */
    private final class QueueSlots {
        private final BenchQueue queue;
        private final DriverVirtqueue ring;
        private final RequestSlots slots;
        private final int[] blockOf;
        private final boolean[] isRead;
        private final int[] free;
        private int freeCount;

        QueueSlots(BenchQueue queue, RequestSlots slots) {
            this.queue = queue;
            this.slots = slots;
            ring = queue.ring();
            blockOf = new int[slots.count()];
            isRead = new boolean[slots.count()];
            free = new int[slots.count()];
            for (int slot = slots.count() - 1; slot >= 0; slot--) {
                free[freeCount++] = slot;
            }
            if (!options.event()) {
                ring.suppressInterrupts();
            }
        }

        int inFlight() {
            return slots.count() - freeCount;
        }

        void submit() {
            boolean submitted = false;
            while (freeCount > 0) {
                long block = chooseBlock();
                if (block < 0) {
                    break;
                }
                submit(free[--freeCount], (int) block);
                submitted = true;
            }
            if (submitted) {
                queue.publish();
            }
        }

        private void submit(int slot, int block) {
            busy.set(block);
            blockOf[slot] = block;
            isRead[slot] = phase == Phase.READ_ALL || (phase == Phase.MIXED && (random.next() & 1) == 0);
            long sector = (options.offsetBytes() + (long) block * options.blockBytes()) / BlkSpec.SECTOR_BYTES;
            if (phase == Phase.FLUSH) {
                slots.addFlush(slot);
            } else if (isRead[slot]) {
                slots.addRead(slot, sector);
            } else {
                pattern.fill(slots.dataOf(slot), block, ++generations[block]);
                slots.addWrite(slot, sector);
            }
        }

        int complete() throws IOException {
            int used = ring.countUsed();
            for (int i = 0; i < used; i++) {
                ring.takeUsed();
                int slot = slots.usedSlot();
                int block = blockOf[slot];
                if (slots.status(slot) != BlkSpec.VIRTIO_BLK_S_OK) {
                    throw new IOException(options.socket() + ": a request for block " + block + " failed in phase "
                            + phase + " with status " + slots.status(slot));
                }
                if (isRead[slot]) {
                    check(slots.dataOf(slot), block);
                } else if (phase != Phase.FLUSH) {
                    blocksWritten++;
                }
                busy.clear(block);
                free[freeCount++] = slot;
            }
            return used;
        }
    }
}

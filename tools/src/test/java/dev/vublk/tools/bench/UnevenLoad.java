// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import dev.vublk.vhostuser.linux.EventFdReader;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/**
 * Load on two IOThreads, of which one has much and the other has little: 15 queues at depth 64 beside one at depth 1. A disk's
 * queues are the threads' in turn, so the even queues are those of thread 0. Used by one thread at a time.
 */
final class UnevenLoad implements AutoCloseable {
    /** Of the two threads: 15 busy ones and a quiet one each. */
    static final int QUEUES = 32;

    static final int DEPTH = 64;
    private static final int BUSY_QUEUES = 30;
    private static final int QUEUE_SIZE = 256;
    private static final int BLOCK_BYTES = 4096;
    private static final long SLACK_BYTES = 4096;

    private final BenchDisk disk;
    private final EventFdReader calls;
    private final BenchOptions busy;
    private final BenchOptions quiet;
    private final List<BenchQueue> queues = new ArrayList<>();
    private final List<RequestSlots> slots = new ArrayList<>();

    UnevenLoad(String socket, double phaseSeconds) throws IOException {
        busy = options(socket, DEPTH, phaseSeconds);
        quiet = options(socket, 1, phaseSeconds);
        disk = BenchDisk.connect(socket, false, false);
        calls = BenchDisk.newEventFd();
        disk.shareMemory(
                SLACK_BYTES + QUEUES * (BenchQueue.memoryBytes(QUEUE_SIZE) + RequestSlots.memoryBytes(disk, busy)));
        for (int i = 0; i < QUEUES; i++) {
            BenchQueue queue = disk.startQueue(i, QUEUE_SIZE, calls);
            queues.add(queue);
            slots.add(new RequestSlots(disk, queue, i < BUSY_QUEUES ? busy : quiet));
        }
    }

    private static BenchOptions options(String socket, int depth, double seconds) {
        return BenchOptions.builder(socket)
                .blockBytes(BLOCK_BYTES)
                .ioDepth(depth)
                .queues(QUEUES)
                .timeSeconds(seconds)
                .warmupSeconds(0)
                .build();
    }

    /** A phase with the load on one of the two threads, not begun yet. */
    LoadThread phase(int busyThread) {
        LoadStatistics statistics = new LoadStatistics();
        List<QueueLoad> loads = new ArrayList<>();
        for (int i = busyThread; i < BUSY_QUEUES; i += 2) {
            loads.add(load(i, busy, statistics));
        }
        loads.add(load(BUSY_QUEUES + 1 - busyThread, quiet, statistics));
        return new LoadThread(busy, loads, calls, statistics, false);
    }

    private QueueLoad load(int queue, BenchOptions options, LoadStatistics statistics) {
        long blocks = disk.capacityBytes() / BLOCK_BYTES;
        return new QueueLoad(queues.get(queue), slots.get(queue), options, queue, blocks, statistics);
    }

    @Override
    public void close() {
        disk.close();
        calls.close();
    }
}

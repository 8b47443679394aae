// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import dev.vublk.vhostuser.linux.EventFdReader;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/**
 * A disk with its queues set up as the options say, active ones with their requests and idle ones beside them. Set up and
 * closed by one thread; each active queue is then used by its client thread.
 */
final class DriverSide implements AutoCloseable {
    /** What a guest's queues have: the smallest ring that is set up, and all that an idle queue gets. */
    private static final int QUEUE_SIZE_MIN = 128;

    /** QEMU, SPDK and others refuse larger rings. */
    private static final int QUEUE_SIZE_MAX = 1024;

    /** Room for what lies beside rings and slots. */
    private static final long SLACK_BYTES = 4096;

    private final BenchOptions options;
    private final BenchDisk disk;
    private final List<EventFdReader> calls = new ArrayList<>();
    private final List<BenchQueue> queues = new ArrayList<>();
    private final List<RequestSlots> slots = new ArrayList<>();
    private final long blocks;

    private DriverSide(BenchOptions options, BenchDisk disk) throws IOException {
        this.options = options;
        this.disk = disk;
        blocks = checkedBlocks();
    }

    /** Connects, checks the options against the disk, sets everything up. */
    static DriverSide open(BenchOptions options) throws IOException {
        BenchDisk disk = BenchDisk.connect(options.socket(), options.indirect(), options.packed());
        DriverSide side = null;
        try {
            side = new DriverSide(options, disk);
            side.startQueues();
            return side;
        } catch (IOException | RuntimeException e) {
            if (side != null) {
                side.close();
            } else {
                disk.close();
            }
            throw e;
        }
    }

    private long checkedBlocks() throws IOException {
        int blockBytes = options.blockBytes();
        if (options.workload().writes() && disk.isReadOnly()) {
            throw new IOException(options.socket() + ": the disk is read-only; use --rw read or randread");
        }
        if (blockBytes % disk.logicalBlockBytes() != 0) {
            throw new IOException("--bs " + blockBytes + " is not a multiple of the disk's logical block, "
                    + disk.logicalBlockBytes() + " bytes");
        }
        if (RequestSlots.segments(disk, options) > disk.segmentsMax()) {
            throw new IOException("--bs " + blockBytes + " is more than the disk takes in one request: "
                    + disk.segmentsMax() + " segments of " + disk.segmentBytesMax() + " bytes");
        }
        if (options.queues() > disk.queueCountMax()) {
            throw new IOException("--queues " + options.queues() + ": the back end offers " + disk.queueCountMax());
        }
        long end = options.sizeBytes() == 0 ? disk.capacityBytes() : options.offsetBytes() + options.sizeBytes();
        if (end > disk.capacityBytes()) {
            throw new IOException("--offset and --size reach beyond the disk's " + disk.capacityBytes() + " bytes");
        }
        long count = (end - options.offsetBytes()) / blockBytes;
        if (count < 1) {
            throw new IOException("no block of " + blockBytes + " bytes fits in the disk's " + disk.capacityBytes()
                    + " bytes behind --offset " + options.offsetBytes());
        }
        return count;
    }

    private int activeQueueSize() throws IOException {
        long needed = RequestSlots.descriptors(disk, options);
        if (options.queueSize() != 0) {
            if (needed > options.queueSize()) {
                throw new IOException("--queue-size " + options.queueSize() + " is too small: --iodepth "
                        + options.ioDepth() + " needs " + needed + " descriptors");
            }
            return options.queueSize();
        }
        if (needed > QUEUE_SIZE_MAX) {
            throw new IOException("--iodepth " + options.ioDepth() + " needs " + needed + " descriptors, and back ends"
                    + " take rings of " + QUEUE_SIZE_MAX + ": use --indirect, more --queues, or say --queue-size");
        }
        long size = Math.max(QUEUE_SIZE_MIN, Long.highestOneBit(Math.max(1, needed - 1)) << 1);
        return (int) size;
    }

    private void startQueues() throws IOException {
        int size = activeQueueSize();
        int idle = options.idleQueues() ? disk.queueCountMax() - options.queues() : 0;
        disk.shareMemory(SLACK_BYTES
                + options.queues() * (BenchQueue.memoryBytes(size) + RequestSlots.memoryBytes(disk, options))
                + idle * BenchQueue.memoryBytes(QUEUE_SIZE_MIN));
        for (int i = 0; i < options.threads() + (idle > 0 ? 1 : 0); i++) {
            calls.add(BenchDisk.newEventFd());
        }
        for (int i = 0; i < options.queues(); i++) {
            BenchQueue queue = disk.startQueue(i, size, calls.get(i % options.threads()));
            queues.add(queue);
            slots.add(new RequestSlots(disk, queue, options));
        }
        for (int i = 0; i < idle; i++) {
            disk.startQueue(options.queues() + i, QUEUE_SIZE_MIN, calls.getLast());
        }
    }

    BenchDisk disk() {
        return disk;
    }

    /** Blocks in the part of the disk that is used. */
    long blocks() {
        return blocks;
    }

    BenchQueue queue(int index) {
        return queues.get(index);
    }

    RequestSlots slots(int index) {
        return slots.get(index);
    }

    /** The eventfd by which the queues of a client thread are called. */
    EventFdReader calls(int thread) {
        return calls.get(thread);
    }

    /** Queues set up, idle ones included. */
    int queueCount() {
        return options.idleQueues() ? disk.queueCountMax() : options.queues();
    }

    /** Stops all queues, in which nothing is in flight. */
    void stop() throws IOException {
        for (int i = 0; i < queueCount(); i++) {
            disk.stopQueue(i);
        }
    }

    @Override
    public void close() {
        disk.close();
        calls.forEach(EventFdReader::close);
    }
}

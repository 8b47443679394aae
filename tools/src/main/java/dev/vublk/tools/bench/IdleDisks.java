// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import static dev.vublk.tools.bench.BlkSpec.HEADER_BYTES;
import static dev.vublk.tools.bench.BlkSpec.HEADER_TYPE;
import static dev.vublk.tools.bench.BlkSpec.VIRTIO_BLK_S_OK;
import static dev.vublk.tools.bench.BlkSpec.VIRTIO_BLK_T_IN;

import dev.vublk.vhostuser.linux.EventFdReader;
import dev.vublk.vhostuser.memory.HostMemory;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * Disks that are connected, have every queue set up and have read one block through each, and then nothing happens. Used by
 * one thread.
 */
public final class IdleDisks implements AutoCloseable {
    private static final int QUEUE_SIZE = 128;

    private static final byte NO_STATUS = (byte) 0xff;
    private static final long ANSWER_TIMEOUT_NS = TimeUnit.SECONDS.toNanos(10);
    private static final long ALIGNMENT = 4096;

    private final List<BenchDisk> disks = new ArrayList<>();
    private final EventFdReader calls;
    private int queueCount;

    private IdleDisks() throws IOException {
        calls = BenchDisk.newEventFd();
    }

    /** Connects to each socket. */
    public static IdleDisks connect(List<String> sockets) throws IOException {
        IdleDisks idle = new IdleDisks();
        try {
            for (String socket : sockets) {
                idle.add(BenchDisk.connect(socket, false, false));
            }
            return idle;
        } catch (IOException | RuntimeException e) {
            idle.close();
            throw e;
        }
    }

    private void add(BenchDisk disk) throws IOException {
        disks.add(disk);
        int count = disk.queueCountMax();
        int blockBytes = disk.logicalBlockBytes();
        disk.shareMemory(BenchQueue.memoryBytes(QUEUE_SIZE) * (count + 1L) + blockBytes + 4 * ALIGNMENT);
        long data = disk.allocate(blockBytes, ALIGNMENT);
        long header = disk.allocate(HEADER_BYTES + 1, ALIGNMENT);
        for (int i = 0; i < count; i++) {
            readFirstBlock(disk, disk.startQueue(i, QUEUE_SIZE, calls), header, data);
        }
        queueCount += count;
    }

    /** A queue that was never used would be no burden at all: the back end has not even begun to look at it. */
    private static void readFirstBlock(BenchDisk disk, BenchQueue queue, long header, long data) throws IOException {
        long status = header + HEADER_BYTES;
        HostMemory.putLong(header, 0);
        HostMemory.putLong(header + 8, 0);
        HostMemory.putInt(header + HEADER_TYPE, VIRTIO_BLK_T_IN);
        HostMemory.putByte(status, NO_STATUS);
        long[] addresses = {disk.guestAddress(header), disk.guestAddress(data), disk.guestAddress(status)};
        queue.ring().add(addresses, new int[] {HEADER_BYTES, disk.logicalBlockBytes(), 1}, 1, 2);
        queue.publish();
        long deadlineNs = System.nanoTime() + ANSWER_TIMEOUT_NS;
        while (!queue.ring().pollUsed()) {
            if (disk.hasFailed() || System.nanoTime() > deadlineNs) {
                throw new IOException(disk.socket() + ": the back end does not answer a read");
            }
            Thread.onSpinWait();
        }
        if (HostMemory.getByte(status) != VIRTIO_BLK_S_OK) {
            throw new IOException(disk.socket() + ": the first block cannot be read");
        }
    }

    public int diskCount() {
        return disks.size();
    }

    public int queueCount() {
        return queueCount;
    }

    @Override
    public void close() {
        disks.forEach(BenchDisk::close);
        calls.close();
    }
}

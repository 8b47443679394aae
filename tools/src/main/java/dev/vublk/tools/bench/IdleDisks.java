// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import dev.vublk.vhostuser.linux.EventFdReader;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/** Disks that are connected and have every queue set up, and then nothing happens. Used by one thread. */
public final class IdleDisks implements AutoCloseable {
    private static final int QUEUE_SIZE = 128;

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
                idle.add(BenchDisk.connect(socket, false));
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
        disk.shareMemory(BenchQueue.memoryBytes(QUEUE_SIZE) * (count + 1L));
        for (int i = 0; i < count; i++) {
            disk.startQueue(i, QUEUE_SIZE, calls);
        }
        queueCount += count;
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

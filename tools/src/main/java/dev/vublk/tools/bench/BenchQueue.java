// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import dev.vublk.vhostuser.frontend.DriverVirtqueue;
import dev.vublk.vhostuser.linux.EventFd;
import dev.vublk.vhostuser.linux.EventFdReader;

/** A queue of the disk as its driver holds it: ring and kick eventfd. Used by one thread at a time. */
final class BenchQueue implements AutoCloseable {
    /** Rings begin on a page, as a guest's do. */
    static final long RING_ALIGNMENT = 4096;

    private final DriverVirtqueue ring;
    private final EventFdReader kick;
    private long kicks;

    BenchQueue(BenchDisk disk, int size, EventFdReader kick) {
        ring = DriverVirtqueue.of(disk.allocate(DriverVirtqueue.bytes(size), RING_ALIGNMENT), size, disk.features());
        this.kick = kick;
    }

    /** Shared memory that a ring takes at most, with what its alignment costs. */
    static long memoryBytes(int size) {
        return DriverVirtqueue.bytes(size) + RING_ALIGNMENT;
    }

    DriverVirtqueue ring() {
        return ring;
    }

    int kickFd() {
        return kick.fd();
    }

    /** Shows the device what was added, and kicks if it asks for that. */
    void publish() {
        ring.publish();
        if (ring.shouldKick()) {
            EventFd.signal(kick.fd());
            kicks++;
        }
    }

    /** Kicks so far. */
    long kicks() {
        return kicks;
    }

    @Override
    public void close() {
        kick.close();
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import dev.vublk.vhostuser.memory.HostMemory;
import dev.vublk.vhostuser.virtqueue.IoVectors;

/**
 * Writes an answer, little-endian, into buffers that the guest cut anyhow. Runs on the queue's IOThread; for rare requests.
 * The caller has checked that there is room.
 */
final class GuestBytes {
    private final IoVectors buffers;
    private int buffer;
    private long used;

    /** Begins with the buffer {@code first}. */
    GuestBytes(IoVectors buffers, int first) {
        this.buffers = buffers;
        buffer = first;
    }

    void put(byte value) {
        while (used == buffers.length(buffer)) {
            buffer++;
            used = 0;
        }
        HostMemory.putByte(buffers.base(buffer) + used++, value);
    }

    void putLong(long value) {
        for (int i = 0; i < Long.BYTES; i++) {
            put((byte) (value >>> (8 * i)));
        }
    }

    void putZeroes(int count) {
        for (int i = 0; i < count; i++) {
            put((byte) 0);
        }
    }
}

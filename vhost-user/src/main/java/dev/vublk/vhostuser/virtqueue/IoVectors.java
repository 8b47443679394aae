// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.virtqueue;

import dev.vublk.vhostuser.memory.HostMemory;
import java.lang.foreign.Arena;

/**
 * A growing off-heap array of {@code struct iovec { void *base; size_t len; }}. Owned by one loop; its memory lives as
 * long as the arena it was made in.
 *
 * <p>It starts small, because nearly all requests are, and doubles up to its maximum when a long chain comes.
 */
public final class IoVectors {
    public static final int IOVEC_BYTES = 16;

    /** Enough for the requests of ordinary guests; arbitrary. */
    private static final int INITIAL_CAPACITY = 32;

    private final Arena arena;
    private final int capacityMax;
    private int capacity;
    private long address;
    private int count;
    private long allocatedBytes;

    public IoVectors(Arena arena, int capacityMax) {
        this.arena = arena;
        this.capacityMax = capacityMax;
        this.capacity = Math.min(INITIAL_CAPACITY, capacityMax);
        this.address = allocate(capacity);
    }

    private long allocate(int entries) {
        allocatedBytes += (long) entries * IOVEC_BYTES;
        return arena.allocate((long) entries * IOVEC_BYTES, IOVEC_BYTES).address();
    }

    /** What the arena holds for it: the present array and those before it. */
    public long allocatedBytes() {
        return allocatedBytes;
    }

    /** As {@link #allocatedBytes()}, of one that has grown to hold {@code entries}. */
    public static long allocatedBytes(long entries) {
        long bytes = 0;
        long capacity = INITIAL_CAPACITY;
        while (capacity < entries) {
            bytes += capacity * IOVEC_BYTES;
            capacity *= 2;
        }
        return bytes + capacity * IOVEC_BYTES;
    }

    public void clear() {
        count = 0;
    }

    public int count() {
        return count;
    }

    /** Address of entry {@code index}. */
    public long address(int index) {
        return address + (long) index * IOVEC_BYTES;
    }

    public long base(int index) {
        return HostMemory.getLong(address(index));
    }

    public long length(int index) {
        return HostMemory.getLong(address(index) + 8);
    }

    public void set(int index, long base, long lengthBytes) {
        long entry = address(index);
        HostMemory.putLong(entry, base);
        HostMemory.putLong(entry + 8, lengthBytes);
    }

    /** Appends an entry. Returns false when the array has its maximum already. */
    public boolean add(long base, long lengthBytes) {
        if (count == capacity && !grow()) {
            return false;
        }
        set(count++, base, lengthBytes);
        return true;
    }

    /** The old array stays in the arena: at most as much again as the new one. */
    private boolean grow() {
        if (capacity == capacityMax) {
            return false;
        }
        int newCapacity = Math.min(2 * capacity, capacityMax);
        long newAddress = allocate(newCapacity);
        HostMemory.copy(address, newAddress, (long) count * IOVEC_BYTES);
        address = newAddress;
        capacity = newCapacity;
        return true;
    }
}

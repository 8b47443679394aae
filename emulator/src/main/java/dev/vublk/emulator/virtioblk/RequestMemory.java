// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;

/**
 * How much memory the request slots of a session's queues take together, and how much they may. Queues join and leave on the
 * control loop; all else is called on their IOThreads.
 *
 * <p>The limit is what the queues that have been started need when every entry of theirs is a request of {@code seg_max}
 * segments, but at most {@link #SESSION_BYTES_MAX}. It is looked at before a request is taken from the ring, and its slot is
 * counted when it has been filled; so it is exceeded by at most one slot a queue. A queue with nothing in flight may always
 * take one, so each of them goes on whatever the others hold.
 */
final class RequestMemory {
    /** Of one session, heap and native. Arbitrary: enough for 3500 requests of 126 segments, or 10000 small ones, in flight. */
    static final long SESSION_BYTES_MAX = 16 << 20;

    private final long bytesMax;
    private final List<RequestSlots> members = new CopyOnWriteArrayList<>();
    private final AtomicLong usedBytes = new AtomicLong();
    private volatile long limitBytes;

    /** From when a queue found no room until a quarter of the limit is free again: slots are given up after use. */
    private final AtomicBoolean isShort = new AtomicBoolean();

    RequestMemory() {
        this(SESSION_BYTES_MAX);
    }

    RequestMemory(long bytesMax) {
        this.bytesMax = bytesMax;
    }

    void join(RequestSlots slots) {
        members.add(slots);
        adjustLimit();
    }

    void leave(RequestSlots slots) {
        members.remove(slots);
        adjustLimit();
    }

    private void adjustLimit() {
        long needed = members.stream().mapToLong(RequestSlots::ordinaryBytes).sum();
        limitBytes = Math.min(bytesMax, needed);
    }

    boolean hasRoom() {
        return usedBytes.get() < limitBytes;
    }

    /** Whether a slot that is not needed any more is to be given up rather than kept. */
    boolean isShort() {
        return isShort.get();
    }

    /** A queue waits its turn. The first that does so makes all others give up the slots that they keep for later. */
    void onShortage() {
        if (isShort.compareAndSet(false, true)) {
            members.forEach(RequestSlots::trimSoon);
        }
    }

    void allocated(long bytes) {
        usedBytes.addAndGet(bytes);
    }

    void freed(long bytes) {
        if (usedBytes.addAndGet(-bytes) < limitBytes / 4 * 3) {
            isShort.set(false);
        }
    }

    long usedBytes() {
        return usedBytes.get();
    }

    long limitBytes() {
        return limitBytes;
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.coroutine;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executor;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * The idle coroutines that no loop holds, in batches, and the limit on how many coroutines exist. Any thread.
 *
 * <p>A loop takes coroutines from its own {@link CoroutinePool}, which exchanges whole batches with this one, so that the
 * lock here is paid once a batch; nothing is created, dropped or called back while it is held. This is QEMU's global
 * coroutine pool (2024); what it adds is the shrinking of 2021 ({@link #shrink}), a hard limit, and hunger: a loop that
 * finds the limit reached is told when others have given coroutines back.
 */
public final class GlobalCoroutinePool implements CoroutineSource.Maker {
    /** As in QEMU: large enough to make the lock cheap, small enough not to hoard. */
    public static final int DEFAULT_BATCH_SIZE = 128;

    /**
     * Heap that one suspended coroutine is reckoned at. Measured on JDK 25, 15 frames deep: 860 bytes when compiled,
     * 3.2 to 3.6 KiB when interpreted, at start-up; a test guards the figure. A coroutine that only waits in the pool
     * takes 350 bytes.
     */
    public static final int BYTES_PER_COROUTINE = 4096;

    /** The part of the maximum heap that coroutine stacks may take. Arbitrary: the rest of the process needs little. */
    private static final int HEAP_PARTS = 4;

    /**
     * Coroutines that each loop can always have, whatever the others do, so that a loop under the limit is slow but never
     * stands still. Arbitrary, small against any sensible limit.
     */
    static final int RESERVED_PER_LOOP = 16;

    private final int batchSize;
    private final int maximum;
    private final String limitReason;

    private final ReentrantLock lock = new ReentrantLock();
    private final ArrayDeque<CoroutineBatch> full = new ArrayDeque<>();

    /** Empty arrays that wait for reuse. */
    private final ArrayDeque<CoroutineBatch> empty = new ArrayDeque<>();

    private final List<CoroutinePool> members = new ArrayList<>();

    /** What came in less than full batches. */
    private CoroutineBatch partial;

    /** Coroutines in {@link #full} and {@link #partial}. Written under the lock, read by anybody. */
    private volatile int pooled;

    /** How many members found the limit reached and have not been told yet that it is worth another try. */
    private volatile int hungry;

    /** Coroutines that exist, and reservations of loops for which none exists yet. */
    private final AtomicInteger accounted = new AtomicInteger();

    /** A pool whose limit is derived from the maximum heap, with {@link #DEFAULT_BATCH_SIZE}. */
    public GlobalCoroutinePool() {
        this(
                DEFAULT_BATCH_SIZE,
                maximumFor(Runtime.getRuntime().maxMemory()),
                describe(Runtime.getRuntime().maxMemory()));
    }

    /** A pool with batches of {@code batchSize} that lets {@code maximum} coroutines exist. */
    public GlobalCoroutinePool(int batchSize, int maximum) {
        this(batchSize, maximum, maximum + " coroutines, as configured");
    }

    private GlobalCoroutinePool(int batchSize, int maximum, String limitReason) {
        if (batchSize < 1 || maximum < 1) {
            throw new IllegalArgumentException("batchSize " + batchSize + ", maximum " + maximum);
        }
        this.batchSize = batchSize;
        this.maximum = maximum;
        this.limitReason = limitReason;
        partial = new CoroutineBatch(batchSize);
    }

    static int maximumFor(long heapBytes) {
        return Math.clamp(heapBytes / HEAP_PARTS / BYTES_PER_COROUTINE, 1, Integer.MAX_VALUE / 2);
    }

    private static String describe(long heapBytes) {
        return maximumFor(heapBytes) + " coroutines: a quarter of the maximum heap (" + (heapBytes >> 20) + " MiB) at "
                + BYTES_PER_COROUTINE + " bytes each";
    }

    /** How many coroutines may exist, and why that many. */
    public String describeLimit() {
        return limitReason;
    }

    public int maximum() {
        return maximum;
    }

    /** Idle coroutines here, not counting those in local pools. */
    public int pooled() {
        return pooled;
    }

    /** Coroutines that exist, wherever they are; those reserved for a loop count although not yet created. */
    public int accounted() {
        return accounted.get();
    }

    int batchSize() {
        return batchSize;
    }

    /** A local pool of this one. */
    @Override
    public CoroutinePool newSource(Executor loop, Runnable onAvailable) {
        return new CoroutinePool(this, loop, onAvailable);
    }

    /** Counts in a loop's pool and reserves its minimum, even above the limit: a loop without coroutines is of no use. */
    void join(CoroutinePool member) {
        accounted.addAndGet(RESERVED_PER_LOOP);
        lock.lock();
        try {
            members.add(member);
        } finally {
            lock.unlock();
        }
    }

    void leave(CoroutinePool member, int reservedLeft) {
        lock.lock();
        try {
            members.remove(member);
            stopHunger(member);
        } finally {
            lock.unlock();
        }
        unaccount(reservedLeft);
    }

    /** Allows one more coroutine to be created, unless the limit is reached. */
    boolean tryAccount() {
        // Not incrementAndGet: a loop that keeps failing at the limit must not disturb the count.
        int now = accounted.get();
        while (now < maximum) {
            int seen = accounted.compareAndExchange(now, now + 1);
            if (seen == now) {
                return true;
            }
            now = seen;
        }
        return false;
    }

    /** Counts one more coroutine, even above the limit. */
    void accountRegardless() {
        accounted.incrementAndGet();
    }

    /** Whether more exist than may, because loops took some regardless. Any thread. */
    boolean isOverLimit() {
        return accounted.get() > maximum;
    }

    void unaccount(int count) {
        accounted.addAndGet(-count);
        if (hungry > 0) {
            tellHungry();
        }
    }

    @SuppressWarnings("NonAtomicVolatileUpdate") // written under the lock only; volatile for those who read without
    private void addPooled(int change) {
        pooled += change;
    }

    @SuppressWarnings("NonAtomicVolatileUpdate") // as in addPooled
    private void addHungry(int change) {
        hungry += change;
    }

    /** Swaps the caller's empty batch for one with coroutines in it; null when there is none. */
    @Nullable
    CoroutineBatch take(CoroutineBatch emptied) {
        if (pooled == 0) {
            return null;
        }
        lock.lock();
        try {
            CoroutineBatch batch = full.pollLast();
            if (batch == null) {
                if (partial.isEmpty()) {
                    return null;
                }
                batch = partial;
                partial = emptied;
            } else {
                empty.addLast(emptied);
            }
            addPooled(-batch.count());
            return batch;
        } finally {
            lock.unlock();
        }
    }

    /** Swaps a batch that its pool has too many for an empty one, and tells hungry loops. */
    CoroutineBatch donate(CoroutineBatch batch) {
        CoroutineBatch replacement;
        lock.lock();
        try {
            addPooled(batch.count());
            if (batch.isFull()) {
                full.addLast(batch);
                replacement = pollEmpty();
            } else {
                merge(batch);
                replacement = batch;
            }
        } finally {
            lock.unlock();
        }
        if (hungry > 0) {
            tellHungry();
        }
        return replacement;
    }

    private void merge(CoroutineBatch batch) {
        batch.moveTo(partial, batchSize);
        if (partial.isFull()) {
            full.addLast(partial);
            partial = pollEmpty();
            batch.moveTo(partial, batchSize);
        }
    }

    private CoroutineBatch pollEmpty() {
        CoroutineBatch batch = empty.pollLast();
        return batch == null ? new CoroutineBatch(batchSize) : batch;
    }

    /** Whether a loop waits for coroutines: then nobody keeps idle ones above its reservation. */
    boolean isAnybodyHungry() {
        return hungry > 0;
    }

    /** Remembers that {@code member} found nothing, and asks the others to give what they do not use. */
    void onHunger(CoroutinePool member) {
        List<CoroutinePool> others;
        lock.lock();
        try {
            if (member.isHungry) {
                return;
            }
            member.isHungry = true;
            addHungry(1);
            others = new ArrayList<>(members);
        } finally {
            lock.unlock();
        }
        for (CoroutinePool other : others) {
            if (other != member) {
                other.askToDonate();
            }
        }
    }

    private void tellHungry() {
        List<CoroutinePool> told = new ArrayList<>();
        lock.lock();
        try {
            for (CoroutinePool member : members) {
                if (member.isHungry) {
                    stopHunger(member);
                    told.add(member);
                }
            }
        } finally {
            lock.unlock();
        }
        for (CoroutinePool member : told) {
            member.tellAvailable();
        }
    }

    private void stopHunger(CoroutinePool member) {
        if (member.isHungry) {
            member.isHungry = false;
            addHungry(-1);
        }
    }

    /**
     * Drops what the loops will not need as far as their last periods tell. Each loop needs
     * {@code max(64, most alive at once) - alive - pooled by itself}. Called by the loops' pools, each time one shrinks.
     *
     * @return how many were dropped
     */
    int shrink() {
        int dropped = 0;
        lock.lock();
        try {
            int needed = 0;
            for (CoroutinePool member : members) {
                needed += member.mayStillNeed();
            }
            int surplus = pooled - needed;
            while (dropped < surplus) {
                // The oldest first: the youngest are warm.
                CoroutineBatch batch = full.peekFirst();
                if (batch == null) {
                    dropped += partial.drop(surplus - dropped);
                    break;
                }
                full.removeFirst();
                dropped += batch.drop(surplus - dropped);
                if (batch.isEmpty()) {
                    empty.addLast(batch);
                } else {
                    merge(batch);
                    empty.addLast(batch);
                }
            }
            addPooled(-dropped);
            while (empty.size() > 2 * members.size()) {
                empty.removeLast();
            }
        } finally {
            lock.unlock();
        }
        unaccount(dropped);
        return dropped;
    }
}

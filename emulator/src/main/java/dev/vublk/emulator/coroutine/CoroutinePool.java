// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.coroutine;

import static java.util.Objects.requireNonNull;

import dev.vublk.emulator.trace.FlightRecording;
import dev.vublk.emulator.trace.PoolRefillEvent;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.Arrays;
import java.util.concurrent.Executor;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;

/**
 * One loop's idle coroutines, at most two batches of them; it takes more from the {@link GlobalCoroutinePool} and gives
 * back what is over. Runs on its loop's thread; only the counters may be read from elsewhere.
 *
 * <p>Two batches and not one, so that a loop whose need swings around a batch border does not go to the global pool each
 * time. Taking and releasing allocate nothing once the coroutines exist.
 */
public final class CoroutinePool implements CoroutineSource {
    /** What shrinking always leaves to a loop, as in QEMU. */
    static final int KEEP_MIN = 64;

    private static final VarHandle ALIVE = counter("alive");
    private static final VarHandle PEAK = counter("peak");
    private static final VarHandle LAST_PEAK = counter("lastPeak");
    private static final VarHandle POOLED = counter("pooled");
    private static final VarHandle CREATED = counter("created");

    private final GlobalCoroutinePool global;
    private final Executor loop;
    private final Runnable onAvailable;
    private final AtomicBoolean askedToDonate = new AtomicBoolean();
    private final Runnable donation = this::onAskedToDonate;

    private CoroutineBatch current;
    private CoroutineBatch spare;

    /** Always empty; carries less than a batch to the global pool. */
    private CoroutineBatch outgoing;

    /** The coroutines out of the pool, in no order; {@link Coroutine#registerIndex} is the place of each. */
    private @Nullable Coroutine[] register = new @Nullable Coroutine[KEEP_MIN];

    /** How many of the coroutines that the global pool reserves for this loop have not been created yet. */
    private int reservedLeft = GlobalCoroutinePool.RESERVED_PER_LOOP;

    // Single-writer counters: written by the loop only, with opaque stores, so that others read whole, recent values.
    private int alive;
    private int peak;
    private int lastPeak;
    private int pooled;
    private long created;

    /** Whether this loop waits for coroutines. Guarded by the global pool's lock. */
    boolean isHungry;

    /**
     * Joins {@code global}.
     *
     * @param loop runs tasks on the loop's thread soon, callable from any thread
     * @param onAvailable run on the loop's thread after {@link #take} or {@link #canTake} has failed, when another try is
     *     worthwhile
     */
    public CoroutinePool(GlobalCoroutinePool global, Executor loop, Runnable onAvailable) {
        this.global = requireNonNull(global, "global");
        this.loop = requireNonNull(loop, "loop");
        this.onAvailable = requireNonNull(onAvailable, "onAvailable");
        current = new CoroutineBatch(global.batchSize());
        spare = new CoroutineBatch(global.batchSize());
        outgoing = new CoroutineBatch(global.batchSize());
        global.join(this);
    }

    /**
     * An idle coroutine, or null when as many exist as may exist: then the caller lets the request wait its turn, until
     * a coroutine is released here or {@code onAvailable} runs.
     */
    @Override
    public @Nullable Coroutine take() {
        if (current.isEmpty() && !refill()) {
            return null;
        }
        Coroutine coroutine = current.pop();
        POOLED.setOpaque(this, pooled - 1);
        enterRegister(coroutine);
        return coroutine;
    }

    /**
     * As {@link #take}, but goes over the limit rather than return null. For the loop itself, which cannot wait for its
     * turn; one at a time, so that the limit is exceeded by one coroutine a loop at most.
     */
    @Override
    public Coroutine takeRegardless() {
        if (current.isEmpty() && !refill()) {
            global.accountRegardless();
            addNew();
        }
        return requireNonNull(take());
    }

    /** Whether the next {@link #take} on this thread will succeed; so a caller can ask before it commits itself. */
    @Override
    public boolean canTake() {
        return !current.isEmpty() || refill();
    }

    private boolean refill() {
        if (!spare.isEmpty()) {
            CoroutineBatch emptied = current;
            current = spare;
            spare = emptied;
            return true;
        }
        if (takeBatch() || create()) {
            return true;
        }
        global.onHunger(this);
        // Once more: what others gave up before they could see this loop among the hungry would be missed.
        return takeBatch() || create();
    }

    private boolean takeBatch() {
        CoroutineBatch batch = global.take(current);
        if (batch == null) {
            return false;
        }
        current = batch;
        POOLED.setOpaque(this, pooled + batch.count());
        if (FlightRecording.isOn() && PoolRefillEvent.isOn()) {
            PoolRefillEvent.record(batch.count(), 0);
        }
        return true;
    }

    private boolean create() {
        if (reservedLeft > 0) {
            reservedLeft--;
        } else if (!global.tryAccount()) {
            return false;
        }
        addNew();
        if (FlightRecording.isOn() && PoolRefillEvent.isOn()) {
            PoolRefillEvent.record(0, 1);
        }
        return true;
    }

    private void addNew() {
        current.push(new Coroutine());
        POOLED.setOpaque(this, pooled + 1);
        CREATED.setOpaque(this, created + 1);
    }

    private void enterRegister(Coroutine coroutine) {
        int index = alive;
        if (index == register.length) {
            register = Arrays.copyOf(register, 2 * index);
        }
        register[index] = coroutine;
        coroutine.registerIndex = index;
        ALIVE.setOpaque(this, index + 1);
        if (index + 1 > peak) {
            PEAK.setOpaque(this, index + 1);
        }
    }

    /** Takes an idle coroutine back. */
    @Override
    public void release(Coroutine coroutine) {
        if (!coroutine.isIdle()) {
            throw new IllegalStateException("a busy coroutine cannot go back to the pool");
        }
        if (global.isOverLimit()) {
            discard(coroutine); // What was taken regardless of the limit is not kept.
            return;
        }
        leaveRegister(coroutine);
        if (current.isFull()) {
            makeRoom();
        }
        current.push(coroutine);
        POOLED.setOpaque(this, pooled + 1);
        if (global.isAnybodyHungry()) {
            donateAllButReserved();
        }
    }

    /** Forgets a coroutine that was taken, for example because an exception ended it. It cannot be used again. */
    @Override
    public void discard(Coroutine coroutine) {
        leaveRegister(coroutine);
        if (reservedLeft + alive + pooled < GlobalCoroutinePool.RESERVED_PER_LOOP) {
            reservedLeft++;
        } else {
            global.unaccount(1);
        }
    }

    private void leaveRegister(Coroutine coroutine) {
        int index = coroutine.registerIndex;
        if (index >= alive || register[index] != coroutine) {
            throw new IllegalStateException("the coroutine was not taken from this pool");
        }
        int last = alive - 1;
        Coroutine moved = requireNonNull(register[last]);
        register[index] = moved;
        moved.registerIndex = index;
        register[last] = null;
        ALIVE.setOpaque(this, last);
    }

    private void makeRoom() {
        if (spare.isFull()) {
            POOLED.setOpaque(this, pooled - spare.count());
            spare = global.donate(spare);
        }
        CoroutineBatch filled = current;
        current = spare;
        spare = filled;
    }

    /** Another loop's pool found the limit reached. Any thread. */
    void askToDonate() {
        if (askedToDonate.compareAndSet(false, true)) {
            loop.execute(donation);
        }
    }

    private void onAskedToDonate() {
        askedToDonate.set(false);
        donateAllButReserved();
    }

    /** This loop was hungry and there is something now. Any thread. */
    void tellAvailable() {
        loop.execute(onAvailable);
    }

    private void donateAllButReserved() {
        donateAllBut(GlobalCoroutinePool.RESERVED_PER_LOOP - alive - reservedLeft);
    }

    private void donateAllBut(int kept) {
        int surplus = pooled - Math.max(0, kept);
        while (surplus > 0) {
            CoroutineBatch source = spare.isEmpty() ? current : spare;
            int moved = source.moveTo(outgoing, surplus);
            surplus -= moved;
            POOLED.setOpaque(this, pooled - moved);
            outgoing = global.donate(outgoing);
        }
    }

    /**
     * Ends a period, which the loop does by a timer (QEMU: every 15 s), and gives up what the last one did not need:
     * at most {@code max(64, most coroutines alive at once)} stay, those alive now included.
     *
     * @return whether another period can free more; when not, an idle loop may stop its timer until it takes again
     */
    @Override
    public boolean shrink() {
        LAST_PEAK.setOpaque(this, peak);
        PEAK.setOpaque(this, alive);
        int keep = Math.max(KEEP_MIN, lastPeak);
        donateAllBut(keep - alive);
        if (register.length > 4 * keep) {
            register = Arrays.copyOf(register, keep);
        }
        global.shrink();
        return lastPeak > Math.max(KEEP_MIN, alive);
    }

    /** How many more of the global pool's coroutines this loop may want soon. Any thread; approximate. */
    int mayStillNeed() {
        int most = Math.max(KEEP_MIN, Math.max((int) LAST_PEAK.getOpaque(this), (int) PEAK.getOpaque(this)));
        return Math.max(0, most - alive() - pooled());
    }

    /** Coroutines out of the pool now. Any thread. */
    public int alive() {
        return (int) ALIVE.getOpaque(this);
    }

    /** Most coroutines out of the pool at once in this period so far. Any thread. */
    public int peakAlive() {
        return (int) PEAK.getOpaque(this);
    }

    /** Idle coroutines held here. Any thread. */
    public int pooled() {
        return (int) POOLED.getOpaque(this);
    }

    /** Coroutines that this pool has created since its beginning. Any thread. */
    public long created() {
        return (long) CREATED.getOpaque(this);
    }

    /** Each coroutine that is out of the pool and where it waits, for diagnosis. Costs nothing while not called. */
    @Override
    public String dump() {
        StringBuilder text = new StringBuilder();
        text.append(alive)
                .append(" coroutines out of the pool, ")
                .append(pooled)
                .append(" idle\n");
        for (int i = 0; i < alive; i++) {
            Coroutine coroutine = requireNonNull(register[i]);
            text.append("coroutine ").append(i);
            if (coroutine.isRunningHere()) {
                text.append(" runs\n");
            } else if (coroutine.isIdle()) {
                text.append(" has no work\n");
            } else {
                text.append(" waits\n");
                for (StackTraceElement frame : coroutine.stackTrace()) {
                    text.append("    at ").append(frame).append('\n');
                }
            }
        }
        return text.toString();
    }

    /** Gives everything back; no coroutine is out of the pool any more. */
    @Override
    public void close() {
        if (alive != 0) {
            throw new IllegalStateException(alive + " coroutines are still out of the pool");
        }
        int left = reservedLeft;
        reservedLeft = 0;
        donateAllBut(0);
        global.leave(this, left);
        global.shrink();
    }

    private static VarHandle counter(String name) {
        try {
            Class<?> type = name.equals("created") ? long.class : int.class;
            return MethodHandles.lookup().findVarHandle(CoroutinePool.class, name, type);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }
}

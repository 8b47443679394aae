// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.powercut;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.function.BooleanSupplier;
import java.util.random.RandomGenerator;

/**
 * What a disk with a volatile write cache holds, unit by unit. A unit is written as a whole or not at all; reads find its last
 * version, and a power cut leaves any version of it since the one that was made stable, whatever it leaves of others. One
 * thread at a time.
 *
 * @param <T> the content of a unit, immutable
 */
public final class VolatileWrites<T> {
    /** What reads find. */
    private final List<T> cached;
    /** What a power cut leaves at least. */
    private final List<T> stable;
    /** What was written to each unit since; the last one is the cached one, unless a sync has lost it. */
    private final List<List<Pending<T>>> pending = new ArrayList<>();

    private long applied;

    private record Pending<T>(T version, long number) {}

    public VolatileWrites(int units, T initial) {
        cached = new ArrayList<>(Collections.nCopies(units, initial));
        stable = new ArrayList<>(cached);
        for (int i = 0; i < units; i++) {
            pending.add(new ArrayList<>(0));
        }
    }

    public int units() {
        return cached.size();
    }

    public T cached(int unit) {
        return cached.get(unit);
    }

    /** How many writes there were so far: the point in time at which a sync begins. */
    public long applied() {
        return applied;
    }

    public void write(int unit, T version) {
        cached.set(unit, version);
        pending.get(unit).add(new Pending<>(version, applied++));
    }

    /** Everything before {@code begunAfter} is stable, for each unit that {@code reaches}; otherwise it is lost. */
    public void sync(long begunAfter, BooleanSupplier reaches) {
        for (int unit = 0; unit < stable.size(); unit++) {
            List<Pending<T>> writes = pending.get(unit);
            boolean reached = reaches.getAsBoolean();
            while (!writes.isEmpty() && writes.getFirst().number < begunAfter) {
                Pending<T> write = writes.removeFirst();
                if (reached) {
                    stable.set(unit, write.version);
                }
            }
        }
    }

    /** What these units hold now is stable. */
    public void makeStable(int first, int count) {
        for (int unit = first; unit < first + count; unit++) {
            stable.set(unit, cached.get(unit));
            pending.get(unit).clear();
        }
    }

    /** Units with writes that a power cut may lose. */
    public int unstableUnits() {
        return (int) pending.stream().filter(writes -> !writes.isEmpty()).count();
    }

    /** One of the versions of a unit that a power cut now could leave. */
    public T survivor(int unit, RandomGenerator random) {
        List<Pending<T>> writes = pending.get(unit);
        int kept = random.nextInt(writes.size() + 1);
        return kept == 0 ? stable.get(unit) : writes.get(kept - 1).version;
    }

    /** The power is cut. */
    public void cutPower(RandomGenerator random) {
        for (int unit = 0; unit < stable.size(); unit++) {
            T survivor = survivor(unit, random);
            stable.set(unit, survivor);
            cached.set(unit, survivor);
            pending.get(unit).clear();
        }
    }
}

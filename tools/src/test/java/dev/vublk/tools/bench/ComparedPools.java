// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import dev.vublk.emulator.coroutine.CoroutinePool;
import dev.vublk.emulator.coroutine.CoroutineSource;
import dev.vublk.emulator.coroutine.GlobalCoroutinePool;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Executor;
import java.util.function.IntSupplier;
import java.util.function.Supplier;

/** The coroutines of all loops of a process in one {@link PoolDesign}, counted. Any thread. */
final class ComparedPools implements CoroutineSource.Maker {
    /**
     * One loop's.
     *
     * @param alive coroutines that run or wait
     * @param peak most of them at once in this period
     * @param pooled its idle ones
     * @param created made so far
     */
    record Counts(int alive, int peak, int pooled, long created) {}

    private final List<Supplier<Counts>> loops = new CopyOnWriteArrayList<>();
    private final CoroutineSource.Maker maker;
    private final IntSupplier shared;

    ComparedPools(PoolDesign design) {
        switch (design) {
            case NONE -> {
                maker = (loop, onAvailable) -> counted(new CountedSource.NoPool());
                shared = () -> 0;
            }
            case FIXED -> {
                CountedSource.Fixed.Shared list = new CountedSource.Fixed.Shared();
                maker = (loop, onAvailable) -> counted(new CountedSource.Fixed(list));
                shared = list::pooled;
            }
            case UNBOUNDED -> {
                maker = (loop, onAvailable) -> counted(new CountedSource.Unbounded());
                shared = () -> 0;
            }
            case VUBLK -> {
                GlobalCoroutinePool global = new GlobalCoroutinePool();
                maker = (loop, onAvailable) -> counted(global.newSource(loop, onAvailable));
                shared = global::pooled;
            }
            default -> throw new IllegalArgumentException(design.label());
        }
    }

    private CoroutineSource counted(CountedSource source) {
        loops.add(() -> new Counts(source.alive(), source.peak(), source.pooled(), source.created()));
        return source;
    }

    private CoroutineSource counted(CoroutinePool pool) {
        loops.add(() -> new Counts(pool.alive(), pool.peakAlive(), pool.pooled(), pool.created()));
        return pool;
    }

    @Override
    public CoroutineSource newSource(Executor loop, Runnable onAvailable) {
        return maker.newSource(loop, onAvailable);
    }

    /** Of each loop, in the order in which they were made. */
    List<Counts> counts() {
        return loops.stream().map(Supplier::get).toList();
    }

    /** Idle coroutines that no loop holds. */
    int shared() {
        return shared.getAsInt();
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.coroutine;

import org.jspecify.annotations.Nullable;

/**
 * A stack of at most {@code capacity} idle coroutines: what local pools and the global pool exchange.
 *
 * <p>Belongs to one local pool (its thread) or to the global pool (its lock) at a time.
 */
final class CoroutineBatch {
    private final @Nullable Coroutine[] slots;
    private int count;

    CoroutineBatch(int capacity) {
        slots = new @Nullable Coroutine[capacity];
    }

    int count() {
        return count;
    }

    boolean isEmpty() {
        return count == 0;
    }

    boolean isFull() {
        return count == slots.length;
    }

    void push(Coroutine coroutine) {
        slots[count++] = coroutine;
    }

    /** The coroutine pushed last; its stack memory is the likeliest to be in the cache. The batch is not empty. */
    Coroutine pop() {
        Coroutine coroutine = slots[--count];
        if (coroutine == null) {
            throw new IllegalStateException("batch is empty");
        }
        // A stale reference would keep a dropped coroutine's stack in the heap.
        slots[count] = null;
        return coroutine;
    }

    /** Moves at most {@code max} coroutines to {@code target}, as many as fit. Returns how many. */
    int moveTo(CoroutineBatch target, int max) {
        int moved = Math.min(max, Math.min(count, target.slots.length - target.count));
        for (int i = 0; i < moved; i++) {
            target.push(pop());
        }
        return moved;
    }

    /** Forgets at most {@code max} coroutines, which makes them garbage. Returns how many. */
    int drop(int max) {
        int dropped = Math.min(max, count);
        for (int i = 0; i < dropped; i++) {
            pop();
        }
        return dropped;
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.coroutine;

import org.jspecify.annotations.Nullable;

/** A first-in first-out list of coroutines, linked through {@link Coroutine#nextWaiting}. Runs on one loop's thread. */
final class WaitingCoroutines {
    private @Nullable Coroutine head;
    private @Nullable Coroutine tail;

    boolean isEmpty() {
        return head == null;
    }

    @Nullable
    Coroutine last() {
        return tail;
    }

    @Nullable
    Coroutine first() {
        return head;
    }

    void add(Coroutine coroutine) {
        if (tail == null) {
            head = coroutine;
        } else {
            tail.nextWaiting = coroutine;
        }
        tail = coroutine;
    }

    @Nullable
    Coroutine poll() {
        Coroutine coroutine = head;
        if (coroutine != null) {
            head = coroutine.nextWaiting;
            coroutine.nextWaiting = null;
            if (head == null) {
                tail = null;
            }
        }
        return coroutine;
    }
}

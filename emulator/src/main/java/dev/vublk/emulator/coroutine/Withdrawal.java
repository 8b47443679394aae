// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.coroutine;

/**
 * The wish that what has not been given to the kernel yet is not given to it any more: one for all the coroutines that work for
 * somebody, who makes it once. Any thread.
 */
public final class Withdrawal {
    /** Read by worker threads, too. */
    private volatile boolean isMade;

    /** From now on {@link Coroutine#refuses} says so to whoever works under this. */
    public void make() {
        isMade = true;
    }

    boolean isMade() {
        return isMade;
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.iothread;

import java.util.concurrent.atomic.AtomicInteger;

/**
 * How many loops are awake beside each other. Where there are as many as processors, one that only looks for work takes a
 * processor from one that has some, or from the guest: it lets others run between two looks. Thread-safe.
 */
public final class AwakeLoops {
    private final AtomicInteger count = new AtomicInteger();
    private final int processors;

    /** Of this machine, or of the part of it that this process may use. */
    public AwakeLoops() {
        this(Runtime.getRuntime().availableProcessors());
    }

    AwakeLoops(int processors) {
        this.processors = processors;
    }

    /** A loop begins, or its sleep is over. */
    void wake() {
        count.getAndIncrement();
    }

    /** A loop ends, or is about to sleep. */
    void sleep() {
        count.getAndDecrement();
    }

    /** Whether no processor is left for anybody else. */
    boolean areCrowded() {
        return count.get() >= processors;
    }
}

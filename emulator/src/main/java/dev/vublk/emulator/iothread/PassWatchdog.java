// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.iothread;

import dev.vublk.emulator.trace.FlightRecording;
import dev.vublk.emulator.trace.SlowPassEvent;
import java.util.StringJoiner;
import org.jspecify.annotations.Nullable;

/**
 * Measures the passes of a loop: none should take longer than a millisecond, or everybody else waits. Runs on its IOThread.
 *
 * <p>It reads the clock once a pass that did something: the end of one is the beginning of the next, unless the loop polled or
 * slept between them.
 */
final class PassWatchdog {
    private static final long SLOW_NS = 1_000_000;

    /** How many of the things that ran in a pass are remembered by name. Arbitrary. */
    private static final int NAMES_MAX = 4;

    private final String loopName;
    private final @Nullable Object[] ran = new Object[NAMES_MAX];
    private int ranCount;
    private long beginNs;
    private long endNs = System.nanoTime();
    private volatile long slowPasses;

    PassWatchdog(String loopName) {
        this.loopName = loopName;
    }

    /** Polling or sleep is over: the pass proper begins. */
    void begin(long nowNs) {
        beginNs = nowNs;
    }

    /** When the last pass that did something ended. */
    long lastEndNs() {
        return endNs;
    }

    /** Something runs in this pass; its {@code toString} names it. */
    void ran(Object what) {
        if (ranCount < NAMES_MAX) {
            ran[ranCount] = what;
        }
        ranCount++;
    }

    /** The pass is over. */
    void end() {
        if (ranCount == 0) {
            endNs = Math.max(endNs, beginNs);
            return;
        }
        endNs = System.nanoTime();
        if (endNs - beginNs > SLOW_NS) {
            onSlowPass();
        }
        beginNs = endNs;
        ranCount = 0;
    }

    @SuppressWarnings("NonAtomicVolatileUpdate") // Written by this loop only.
    private void onSlowPass() {
        slowPasses++;
        if (FlightRecording.isOn() && SlowPassEvent.isOn()) {
            SlowPassEvent.record(loopName, names(), endNs - beginNs);
        }
    }

    private String names() {
        StringJoiner names = new StringJoiner(", ");
        for (int i = 0; i < Math.min(ranCount, NAMES_MAX); i++) {
            names.add(String.valueOf(ran[i]));
        }
        return ranCount > NAMES_MAX ? names + " and " + (ranCount - NAMES_MAX) + " more" : names.toString();
    }

    /** Passes that took longer than a millisecond since the beginning. Any thread. */
    long slowPasses() {
        return slowPasses;
    }
}

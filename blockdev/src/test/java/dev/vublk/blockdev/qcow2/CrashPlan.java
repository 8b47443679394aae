// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/**
 * Crashes of a {@link WriteWorld}, each right before one of the calls to its files: what each one leaves is judged while every
 * call waits, so that the moments do not depend on how fast the machine is. Thread-safe.
 */
final class CrashPlan implements Runnable {
    /** Calls between two crashes, at most: so that the last one comes before the requests are all done. */
    private static final int CALLS_MAX = 200;

    private final WriteWorld world;
    private final Random random;
    private final int powerOneIn;
    private final List<String> wrong = new ArrayList<>();
    private int crashesLeft;
    private int callsLeft;

    /**
     * A plan of so many crashes.
     *
     * @param powerOneIn one in so many is a power cut, the others are kills
     */
    CrashPlan(WriteWorld world, long seed, int crashes, int powerOneIn) {
        this.world = world;
        this.random = new Random(seed);
        this.powerOneIn = powerOneIn;
        this.crashesLeft = crashes;
        this.callsLeft = random.nextInt(CALLS_MAX);
    }

    @Override
    public synchronized void run() {
        if (crashesLeft == 0 || callsLeft-- > 0) {
            return;
        }
        callsLeft = random.nextInt(CALLS_MAX);
        crashesLeft--;
        try {
            crash(crashesLeft % powerOneIn == 0);
        } catch (Exception e) {
            throw new AssertionError(e);
        }
        if (!wrong.isEmpty()) {
            crashesLeft = 0;
        }
    }

    private void crash(boolean power) throws Exception {
        Path dump;
        List<List<Long>> allowed;
        synchronized (world.model) { // Nothing is begun or acknowledged meanwhile.
            dump = power ? world.dumpAfterCut(random) : world.dump();
            allowed = world.model.promises(power);
        }
        String found = world.check(dump, false);
        found += found.isEmpty() ? world.compare(dump, allowed) : "";
        if (!found.isEmpty()) {
            wrong.add((power ? "power cut: " : "kill: ") + found);
        }
        Files.delete(dump);
    }

    /** What was wrong with what they left. */
    synchronized List<String> wrong() {
        return List.copyOf(wrong);
    }

    /** How many have not happened. */
    synchronized int crashesLeft() {
        return crashesLeft;
    }
}

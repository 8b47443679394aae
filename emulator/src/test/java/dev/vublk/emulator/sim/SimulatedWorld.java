// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.sim;

import dev.vublk.emulator.iothread.SimulatedLoop;
import dev.vublk.vhostuser.linux.Poll;
import java.util.ArrayList;
import java.util.List;
import java.util.PriorityQueue;
import java.util.Random;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;

/**
 * Time, chance and order: everything that happens in a simulation is a step of this world, chosen by its seed. One thread,
 * so the same seed takes the same steps.
 */
final class SimulatedWorld {
    /** No wait takes longer; what does is a lost request. Ordinary waits take a few hundred steps. */
    private static final int STEPS_PER_WAIT_MAX = 40_000;

    private static final int TRACE_MAX = 400;

    private final long seed;
    final Random random;
    private final List<SimulatedLoop> loops = new ArrayList<>();
    private final PriorityQueue<Event> events = new PriorityQueue<>();
    private final List<String> trace = new ArrayList<>();
    private final boolean tracing;
    private Runnable guest = () -> {};
    private Runnable frontend = () -> {};

    /** The front end is in the middle of something: it has one thread, and does nothing else. */
    private boolean frontendIsBusy;

    private long nowNs;
    private long steps;
    private long eventCount;
    private @Nullable SimulationFailure failure;

    SimulatedWorld(long seed, boolean tracing) {
        this.seed = seed;
        random = new Random(seed);
        this.tracing = tracing;
    }

    private record Event(long atNs, long number, Runnable action) implements Comparable<Event> {
        @Override
        public int compareTo(Event other) {
            return atNs != other.atNs ? Long.compare(atNs, other.atNs) : Long.compare(number, other.number);
        }
    }

    /** For what must not shift the random numbers of everything else. */
    long seed() {
        return seed;
    }

    void loops(List<SimulatedLoop> newLoops) {
        loops.clear();
        loops.addAll(newLoops);
    }

    void guest(Runnable action) {
        guest = action;
    }

    /** What the front end does when it waits for nothing. */
    void frontend(Runnable action) {
        frontend = action;
    }

    long nowNs() {
        return nowNs;
    }

    /** The number of the present step: the model's clock. */
    long step() {
        return steps;
    }

    boolean chance(int percent) {
        return random.nextInt(100) < percent;
    }

    int between(int least, int most) {
        return least + random.nextInt(most - least + 1);
    }

    /** Runs {@code action} {@code delayNs} from now. */
    void after(long delayNs, Runnable action) {
        events.add(new Event(nowNs + delayNs, eventCount++, action));
    }

    /** Something is wrong. Ends the simulation, at the latest after this step. */
    SimulationFailure fail(String what) {
        return fail(new SimulationFailure(what));
    }

    private SimulationFailure fail(SimulationFailure newFailure) {
        if (failure == null) {
            failure = newFailure; // The first one; others follow from it.
        }
        return newFailure;
    }

    boolean isTracing() {
        return tracing;
    }

    void trace(String what) {
        trace.add(steps + " " + nowNs + "ns " + what);
        if (trace.size() > 2 * TRACE_MAX) {
            trace.subList(0, TRACE_MAX).clear();
        }
    }

    /** The last things that happened, when they were traced. */
    List<String> trace() {
        return trace;
    }

    /** One thing happens: a pass of a loop, the end of something that takes time, or the guest does something. */
    void takeStep() {
        steps++;
        nowNs += random.nextInt(1_000);
        while (!events.isEmpty() && events.peek().atNs <= nowNs) {
            events.remove().action.run();
        }
        int choice = random.nextInt(100);
        if (choice < 50) {
            loops.get(random.nextInt(loops.size())).runPass();
        } else if (choice < 70 && !events.isEmpty()) {
            Event next = events.remove();
            nowNs = Math.max(nowNs, next.atNs);
            next.action.run();
        } else {
            guest.run();
        }
        checkFailed();
    }

    /** The guest's processors do not wait for a pass to end. */
    void letGuestAct() {
        for (int left = random.nextInt(3); left > 0; left--) {
            guest.run();
        }
    }

    private void checkFailed() {
        if (failure != null) {
            throw failure;
        }
        for (SimulatedLoop loop : loops) {
            if (loop.failedPasses() > 0) {
                throw new SimulationFailure(loop.name() + ": a pass failed");
            }
        }
    }

    void takeSteps(int count) {
        for (int i = 0; i < count; i++) {
            takeStep();
            letFrontendAct();
        }
    }

    /** Lets things happen until {@code condition} holds. */
    void await(String what, BooleanSupplier condition) {
        for (int i = 0; !condition.getAsBoolean(); i++) {
            if (i == STEPS_PER_WAIT_MAX) {
                throw fail("waits for ever: " + what);
            }
            takeStep();
            letFrontendAct();
        }
    }

    /** The front end waits for a descriptor that somebody in this world makes ready. */
    void awaitReady(int fd, int events) {
        boolean wasBusy = frontendIsBusy;
        frontendIsBusy = true;
        await("the back end answers", () -> Poll.await(fd, events, -1, 0) > 0);
        frontendIsBusy = wasBusy;
    }

    private void letFrontendAct() {
        if (!frontendIsBusy) {
            frontend.run();
        }
    }
}

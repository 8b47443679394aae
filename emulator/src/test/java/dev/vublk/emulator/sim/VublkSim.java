// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.sim;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.apache.logging.log4j.Level;
import org.apache.logging.log4j.core.config.Configurator;

/**
 * Runs seeds: {@code vublk-sim [--seed S] [--seeds N] [--failures N]}. One seed alone prints what happened last when it
 * fails; many go on until so many have failed.
 */
public final class VublkSim implements AutoCloseable {
    private final SimulatedMemory memory;

    /** How a seed ended: how many requests it carried out, or why it failed. */
    record Outcome(long seed, long requests, String failure, List<String> trace) {
        boolean hasFailed() {
            return !failure.isEmpty();
        }

        @Override
        public String toString() {
            return "seed " + seed + " failed: " + failure + "\n  replay: scripts/sim.sh --seed " + seed;
        }
    }

    VublkSim() throws IOException {
        memory = new SimulatedMemory();
        // A simulated disk fails all the time; what matters is said by the simulation.
        Configurator.setRootLevel(Boolean.getBoolean("sim.log") ? Level.WARN : Level.OFF);
    }

    Outcome run(long seed, boolean tracing) {
        Simulation simulation = new Simulation(seed, tracing, memory);
        try (simulation) {
            return new Outcome(seed, simulation.run(), "", new ArrayList<>(simulation.traceLines()));
        } catch (RuntimeException | AssertionError e) {
            String reason = e instanceof SimulationFailure ? String.valueOf(e.getMessage()) : String.valueOf(e);
            return new Outcome(seed, 0, reason, new ArrayList<>(simulation.traceLines()));
        }
    }

    @Override
    public void close() {
        memory.close();
    }

    public static void main(String... arguments) throws IOException {
        long first = System.nanoTime();
        long count = 1_000;
        long failuresMax = 1;
        boolean single = false;
        for (int i = 0; i + 1 < arguments.length; i += 2) {
            long value = Long.parseLong(arguments[i + 1]);
            switch (arguments[i]) {
                case "--seed" -> {
                    first = value;
                    count = 1;
                    single = true;
                }
                case "--first" -> first = value;
                case "--seeds" -> count = value;
                case "--failures" -> failuresMax = value;
                default -> throw new IllegalArgumentException(arguments[i]);
            }
        }
        System.exit(run(first, count, failuresMax, single) ? 0 : 1);
    }

    private static boolean run(long first, long count, long failuresMax, boolean tracing) throws IOException {
        long beganNs = System.nanoTime();
        long requests = 0;
        long failures = 0;
        long done = 0;
        try (VublkSim simulator = new VublkSim()) {
            while (done < count && failures < failuresMax) {
                Outcome outcome = simulator.run(first + done++, tracing);
                requests += outcome.requests();
                if (outcome.hasFailed()) {
                    failures++;
                    outcome.trace().forEach(System.out::println);
                    System.out.println(outcome);
                }
                if (done % 10_000 == 0) {
                    System.out.printf("%d seeds, %d requests, %d failures%n", done, requests, failures);
                }
            }
        }
        System.out.printf(
                "%d seeds from %d, %d requests, %d failures, %.1f s%n",
                done, first, requests, failures, (System.nanoTime() - beganNs) / 1e9);
        return failures == 0;
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.sim;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.emulator.sim.VublkSim.Outcome;
import java.util.concurrent.TimeUnit;
import org.apache.logging.log4j.Level;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.core.config.Configurator;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Some thousand seeds of the simulator; {@code scripts/sim.sh} runs as many as one likes. */
final class SimulatorTest {
    /** So that the tests stay fast on a slow machine: about 3 ms a seed are needed. */
    private static final long TIME_NS = TimeUnit.SECONDS.toNanos(20);

    private static final int SEEDS_MAX = 4_000;
    private static final int SEEDS_MIN = 200;

    private final Level level = LogManager.getRootLogger().getLevel();

    @AfterEach
    void restoreLogLevel() {
        Configurator.setRootLevel(level);
    }

    @Test
    void shouldBehaveAsTheModelForManySeeds() throws Exception {
        long beganNs = System.nanoTime();
        long first = beganNs;
        int done = 0;
        long requests = 0;
        try (VublkSim simulator = new VublkSim()) {
            while (done < SEEDS_MAX && (done < SEEDS_MIN || System.nanoTime() - beganNs < TIME_NS)) {
                Outcome outcome = simulator.run(first + done++, false);
                assertThat(outcome.failure()).as(outcome.toString()).isEmpty();
                requests += outcome.requests();
            }
        }
        System.out.printf("SimulatorTest: %d seeds from %d, %d requests%n", done, first, requests);
        assertThat(requests).isGreaterThan(done);
    }

    /**
     * The kick was taken, and the connection lost before the request was: the next session must not wait for another. Seeds
     * that failed for that; what they do changes with the simulator, so new seeds are what keeps it found.
     */
    @Test
    void shouldHandBackAKickThatWasTakenInVain() throws Exception {
        try (VublkSim simulator = new VublkSim()) {
            for (long seed : new long[] {460, 633, 1248}) {
                assertThat(simulator.run(seed, false).failure()).isEmpty();
            }
        }
    }

    /** Without this a failing seed would be worth nothing. */
    @Test
    void shouldReplayASeedExactly() throws Exception {
        try (VublkSim simulator = new VublkSim()) {
            for (long seed = 1; seed <= 20; seed++) {
                Outcome quiet = simulator.run(seed, false);
                Outcome traced = simulator.run(seed, true);
                assertThat(simulator.run(seed, true)).isEqualTo(traced);
                assertThat(traced.requests()).as("seed %d", seed).isEqualTo(quiet.requests());
            }
        }
    }
}

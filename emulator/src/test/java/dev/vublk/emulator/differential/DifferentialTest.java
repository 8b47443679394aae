// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.differential;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A short run of {@code scripts/differential.sh}; where there is no qemu-storage-daemon, with the model alone. */
final class DifferentialTest {
    private static final int ROUNDS = 100;

    @TempDir
    Path directory;

    @Test
    void shouldAnswerAsTheModelAndQemu() throws Exception {
        long seed = Long.getLong("vublk.seed", System.nanoTime());
        System.out.println("DifferentialTest: -Dvublk.seed=" + seed);
        assertThat(new Differential(directory, seed).run(ROUNDS)).isGreaterThan(ROUNDS);
    }
}

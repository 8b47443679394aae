// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.differential;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A short run of {@code scripts/differential.sh}. */
final class DifferentialTest {
    private static final int ROUNDS = 100;

    @TempDir
    Path directory;

    @Test
    void shouldAnswerAsQemuAndTheModel() throws Exception {
        assumeTrue(QemuStorageDaemon.isInstalled(), "qemu-storage-daemon is not installed");
        long seed = Long.getLong("vublk.seed", System.nanoTime());
        System.out.println("DifferentialTest: -Dvublk.seed=" + seed);
        assertThat(new Differential(directory, seed).run(ROUNDS)).isGreaterThan(ROUNDS);
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.e2e;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/**
 * A file system in a User-Mode Linux guest, on a disk with a volatile write cache whose power is cut at random moments: what
 * an fsync has promised is there afterwards, and the file system is clean. {@code scripts/power-cut.sh} does it, and more often.
 */
@ExtendWith(GuestRequirements.class)
class PowerCutIT {
    private record Outcome(int status, String printed) {}

    private static Outcome cutPower(String... options) throws Exception {
        List<String> command = new ArrayList<>(List.of(Checkout.script("power-cut.sh")));
        command.addAll(List.of(options));
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String printed = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        int status = process.waitFor();
        System.out.println(printed); // Has the seed.
        return new Outcome(status, printed);
    }

    @Test
    void shouldKeepPromisesOfExt4() throws Exception {
        String packed = PackedRings.chosen() == PackedRings.NEVER ? "off" : "on";
        Outcome outcome = cutPower("--fs", "ext4", "--packed", packed);
        assertThat(outcome.status()).as(outcome.printed()).isZero();
        assertThat(outcome.printed()).contains("verified: 1 guests, 4 power cuts each, ext4");
    }

    @Test
    void shouldKeepPromisesOfXfsWithoutThePageCache() throws Exception {
        String packed = PackedRings.chosen() == PackedRings.ALWAYS ? "on" : "off";
        Outcome outcome = cutPower("--fs", "xfs", "--packed", packed, "--cache", "none");
        assertThat(outcome.status()).as(outcome.printed()).isZero();
        assertThat(outcome.printed()).contains("verified: 1 guests, 4 power cuts each, xfs");
    }

    /** A disk that keeps nothing of what it acknowledges: it must not get through. */
    @Test
    void shouldCatchADiskThatForgetsFlushes() throws Exception {
        Outcome outcome = cutPower("--fs", "ext4", "--forget-flushes", "true");
        assertThat(outcome.status()).as(outcome.printed()).isEqualTo(1);
        assertThat(outcome.printed())
                .contains("cut 3:", "what the power cuts left is not what was promised")
                .containsAnyOf("promises were broken", ": mount (", ": check (");
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.fuzz;

import static org.assertj.core.api.Assertions.assertThat;

import com.code_intelligence.jazzer.junit.FuzzTest;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;

/**
 * The corpus of every target, run once: inputs that fuzzing found worth keeping, and those that once found a fault. The
 * hooks are in place, so this process runs nothing else.
 */
final class FuzzIT {
    private static long accessesBefore;

    @BeforeAll
    static void countAccesses() {
        accessesBefore = AccessGuard.INSTANCE.accesses();
    }

    /** Without the hooks nothing is looked at. */
    @AfterAll
    static void shouldHaveLookedAtAccesses() {
        assertThat(AccessGuard.INSTANCE.accesses()).isGreaterThan(accessesBefore);
    }

    @FuzzTest
    void messages(byte[] input) {
        FuzzTargets.Messages.fuzzerTestOneInput(input);
    }

    @FuzzTest
    void session(byte[] input) {
        FuzzTargets.Session.fuzzerTestOneInput(input);
    }

    @FuzzTest
    void requests(byte[] input) {
        FuzzTargets.Requests.fuzzerTestOneInput(input);
    }

    @FuzzTest
    void splitRing(byte[] input) {
        FuzzTargets.SplitRing.fuzzerTestOneInput(input);
    }

    @FuzzTest
    void packedRing(byte[] input) {
        FuzzTargets.PackedRing.fuzzerTestOneInput(input);
    }

    @FuzzTest
    void inflight(byte[] input) {
        FuzzTargets.Inflight.fuzzerTestOneInput(input);
    }

    @FuzzTest
    void images(byte[] input) {
        FuzzTargets.Images.fuzzerTestOneInput(input);
    }

    @FuzzTest
    void qcow2(byte[] input) {
        FuzzTargets.Qcow2.fuzzerTestOneInput(input);
    }

    @FuzzTest
    void qcow2Check(byte[] input) {
        FuzzTargets.Qcow2Check.fuzzerTestOneInput(input);
    }
}

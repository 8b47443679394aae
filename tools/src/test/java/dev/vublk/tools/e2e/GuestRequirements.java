// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.e2e;

import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.extension.ConditionEvaluationResult;
import org.junit.jupiter.api.extension.ExecutionCondition;
import org.junit.jupiter.api.extension.ExtensionContext;

/** Guests can run where {@code scripts/guest/setup.sh} has been run; elsewhere their tests are skipped, with this reason. */
final class GuestRequirements implements ExecutionCondition {
    @Override
    public ConditionEvaluationResult evaluateExecutionCondition(ExtensionContext context) {
        if (Boolean.getBoolean("skipGuestTests")) {
            return ConditionEvaluationResult.disabled("skipGuestTests is set");
        }
        for (String program : new String[] {"qemu-system-x86_64", "linux.uml", "fio", "mkfs.xfs", "busybox"}) {
            if (!isInstalled(program)) {
                return ConditionEvaluationResult.disabled(program + " is missing: run scripts/guest/setup.sh");
            }
        }
        return ConditionEvaluationResult.enabled("guests can run");
    }

    private static boolean isInstalled(String program) {
        for (String directory : (System.getenv("PATH") + ":/usr/sbin:/sbin").split(":", -1)) {
            if (Files.isExecutable(Path.of(directory, program))) {
                return true;
            }
        }
        return false;
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * A class's main method in a virtual machine of its own, run to its end.
 *
 * @param status exit status
 * @param classes what the virtual machine has loaded, a line each: a name between blanks
 */
record JavaRun(int status, String classes) {
    /** Two busy processors may take their time. */
    private static final int LIMIT_S = 120;

    /** What it prints goes to {@code output}, which may be a device. */
    static JavaRun of(Path directory, File output, Class<?> main, String... args)
            throws IOException, InterruptedException {
        Path classes = directory.resolve("classes");
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xlog:class+load:file=" + classes,
                "--enable-native-access=ALL-UNNAMED",
                "--add-exports",
                "java.base/jdk.internal.vm=ALL-UNNAMED",
                "-cp",
                System.getProperty("surefire.test.class.path", System.getProperty("java.class.path")),
                main.getName()));
        command.addAll(List.of(args));
        Process process = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(output)
                .start();
        try {
            assertThat(process.waitFor(LIMIT_S, TimeUnit.SECONDS)).as("ends").isTrue();
            return new JavaRun(process.exitValue(), Files.readString(classes));
        } finally {
            process.destroyForcibly();
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.socket;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** In a process of its own, whose limit of open files is low. */
final class OpenFileLimitTest {
    @TempDir
    private Path directory;

    @Test
    void shouldLoseSessionsButNotItselfWithoutFreeDescriptors() throws Exception {
        Process process = new ProcessBuilder(
                        "sh",
                        "-c",
                        "ulimit -n 150; exec \"$0\" \"$@\"",
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "--enable-native-access=ALL-UNNAMED",
                        "--sun-misc-unsafe-memory-access=allow",
                        // The JVM would raise the limit again.
                        "-XX:-MaxFDLimit",
                        "-cp",
                        System.getProperty("java.class.path"),
                        OpenFileLimit.class.getName(),
                        directory.toString())
                .redirectErrorStream(true)
                .start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(process.waitFor(60, TimeUnit.SECONDS)).isTrue();
        assertThat(output.lines())
                .as(output)
                .containsSubsequence("session ended by lost descriptors", "front end turned away", "serves again");
        assertThat(process.exitValue()).isZero();
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.testing;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.io.InterruptedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Assumptions;

/** Programs of the system that tests need. */
public final class Shell {
    private Shell() {}

    /** What a finished program left behind. */
    public record Result(int exitCode, String output) {}

    /** Runs a program to its end; standard error goes into the output. */
    public static Result run(String... command) throws IOException {
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        process.getOutputStream().close();
        String output = new String(process.getInputStream().readAllBytes(), UTF_8);
        try {
            return new Result(process.waitFor(), output.strip());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new InterruptedIOException(command[0]);
        }
    }

    /** Runs a program that must succeed; its output. */
    public static String check(String... command) throws IOException {
        Result result = run(command);
        if (result.exitCode() != 0) {
            throw new IOException(String.join(" ", command) + ": " + result.output());
        }
        return result.output();
    }

    public static void assumeRoot() {
        Assumptions.assumeTrue(
                System.getProperty("user.name", "").equals("root"), "skipped: needs root for losetup and mount");
    }

    /** QEMU's programs for images. */
    public static void assumeQemuTools() {
        assumeProgram("qemu-img");
        assumeProgram("qemu-io");
    }

    public static void assumeProgram(String name) {
        boolean found = Files.isExecutable(Path.of("/usr/bin", name)) || Files.isExecutable(Path.of("/usr/sbin", name));
        Assumptions.assumeTrue(found, "skipped: " + name + " is not installed");
    }
}

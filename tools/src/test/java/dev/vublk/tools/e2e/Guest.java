// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.e2e;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

/** A real guest that runs a test script on its disks; see scripts/guest/README.md. */
final class Guest {
    /** Above the guests' own limits, which tell more. */
    private static final int LIMIT_S = 240;

    private final List<String> command;
    private final List<String> moreArguments = new ArrayList<>();
    private final Map<String, String> environment = new HashMap<>();
    private boolean packed;

    private Guest(String... command) {
        this.command = List.of(command);
    }

    /** A User-Mode Linux guest. */
    static Guest uml(String test, Path... sockets) {
        return new Guest(Checkout.guestScript("uml-run.sh"), join(sockets), Checkout.guestTest(test));
    }

    /** An emulated machine under QEMU with Debian's kernel. */
    static Guest qemu(String test, Path... sockets) {
        Guest guest = new Guest(Checkout.guestScript("qemu-run.sh"), join(sockets), Checkout.guestTest(test));
        guest.packed = PackedRings.chosen() == PackedRings.ALWAYS;
        return guest;
    }

    private static String join(Path... sockets) {
        return Arrays.stream(sockets).map(Path::toString).collect(Collectors.joining(","));
    }

    /** Any other program of the rig. */
    static Guest script(String name, String... arguments) {
        String[] command = new String[arguments.length + 1];
        command[0] = Checkout.guestScript(name);
        System.arraycopy(arguments, 0, command, 1, arguments.length);
        return new Guest(command);
    }

    /** Sets a variable of the rig, such as GUEST_DISK_OPTIONS. */
    Guest with(String name, String value) {
        environment.put(name, value);
        return this;
    }

    /** More arguments for QEMU. */
    Guest withQemuArguments(String... arguments) {
        moreArguments.addAll(List.of(arguments));
        return this;
    }

    /** Lets QEMU take packed rings, or not. A UML guest takes what is offered. */
    Guest withPackedRings(boolean on) {
        packed = on;
        return this;
    }

    /** Sets variables for the script inside the guest: {@code "A=1 B=2"}. */
    Guest withScriptEnvironment(String assignments) {
        return with("GUEST_ENV", assignments);
    }

    /** Runs the guest to its end; its script must succeed. Returns what it printed. */
    String succeeds() throws Exception {
        try (Running running = start()) {
            return running.succeeds();
        }
    }

    Running start() throws IOException {
        Path output = Files.createTempFile("vublk-guest", ".out");
        List<String> all = new ArrayList<>(command);
        all.addAll(moreArguments);
        ProcessBuilder builder =
                new ProcessBuilder(all).redirectErrorStream(true).redirectOutput(output.toFile());
        builder.environment().putAll(environment);
        if (packed) {
            builder.environment().merge("GUEST_DISK_OPTIONS", "packed=on", (options, on) -> options + "," + on);
        }
        return new Running(builder.start(), output);
    }

    /** A guest that is running. */
    static final class Running implements AutoCloseable {
        private final Process process;
        private final Path output;

        private Running(Process process, Path output) {
            this.process = process;
            this.output = output;
        }

        String output() throws IOException {
            return Files.readString(output);
        }

        String succeeds() throws Exception {
            assertThat(process.waitFor(LIMIT_S, TimeUnit.SECONDS))
                    .as("the guest ends within its limit\n" + output())
                    .isTrue();
            String printed = output();
            assertThat(process.exitValue())
                    .as("status of the guest's script\n" + printed)
                    .isZero();
            return printed;
        }

        /** Waits until the guest has made {@code file} in the directory that it shares with us. */
        void awaitFile(Path file) throws Exception {
            try (var watcher = file.getFileSystem().newWatchService()) {
                Path directory = file.toAbsolutePath().getParent();
                directory.register(watcher, java.nio.file.StandardWatchEventKinds.ENTRY_CREATE);
                long deadlineNs = System.nanoTime() + TimeUnit.SECONDS.toNanos(LIMIT_S);
                while (!Files.exists(file)) {
                    assertThat(process.isAlive())
                            .as("the guest runs\n" + output())
                            .isTrue();
                    assertThat(System.nanoTime()).as("deadline").isLessThan(deadlineNs);
                    var key = watcher.poll(1, TimeUnit.SECONDS);
                    if (key != null) {
                        key.pollEvents();
                        key.reset();
                    }
                }
            }
        }

        /** Waits until somebody writes to {@code image}: the guest's load is going on. */
        void awaitWrite(Path image) throws Exception {
            try (var watcher = image.getFileSystem().newWatchService()) {
                image.toAbsolutePath()
                        .getParent()
                        .register(watcher, java.nio.file.StandardWatchEventKinds.ENTRY_MODIFY);
                long deadlineNs = System.nanoTime() + TimeUnit.SECONDS.toNanos(LIMIT_S);
                boolean written = false;
                while (!written) {
                    assertThat(process.isAlive())
                            .as("the guest runs\n" + output())
                            .isTrue();
                    assertThat(System.nanoTime()).as("deadline").isLessThan(deadlineNs);
                    var key = watcher.poll(1, TimeUnit.SECONDS);
                    if (key != null) {
                        written = key.pollEvents().stream()
                                .anyMatch(event -> image.getFileName().equals(event.context()));
                        key.reset();
                    }
                }
            }
        }

        @Override
        public void close() throws IOException {
            // SIGTERM: the rig ends what it has started.
            process.destroy();
            try {
                process.waitFor(10, TimeUnit.SECONDS);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            Files.deleteIfExists(output);
        }
    }
}

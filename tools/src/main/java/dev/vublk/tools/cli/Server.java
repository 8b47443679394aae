// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import dev.vublk.emulator.DiskConfig;
import dev.vublk.emulator.Emulator;
import dev.vublk.emulator.EmulatorConfig;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.concurrent.CompletableFuture;
import sun.misc.Signal;

/** Runs an emulator until a signal, or until nobody can connect any more. */
final class Server {
    private final PrintWriter out;

    Server(PrintWriter out) {
        this.out = out;
    }

    /** Returns the exit status. */
    int serve(EmulatorConfig config) throws IOException {
        CompletableFuture<Void> toldToStop = new CompletableFuture<>();
        try (Emulator emulator = new Emulator(config)) {
            emulator.start();
            Signal.handle(new Signal("TERM"), signal -> onSignal(signal, toldToStop));
            Signal.handle(new Signal("INT"), signal -> onSignal(signal, toldToStop));
            for (DiskConfig disk : config.disks()) {
                out.println("ready: " + disk.block().image() + " on "
                        + disk.listener().describe());
            }
            out.flush();
            CompletableFuture.anyOf(toldToStop, emulator.served()).join();
        }
        return 0;
    }

    /** The first signal stops in order; the second one ends the process where it stands. */
    private static void onSignal(Signal signal, CompletableFuture<Void> toldToStop) {
        if (!toldToStop.complete(null)) {
            Runtime.getRuntime().halt(128 + signal.getNumber());
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import java.util.List;
import java.util.function.Consumer;
import sun.misc.Signal;
import sun.misc.SignalHandler;

/** Signals that end a command in the middle of its work: the first one lets it clean up, the second one does not. One thread listens. */
final class Interruption {
    private static final List<String> SIGNALS = List.of("INT", "TERM", "HUP");

    private volatile int signal;

    /** What heard them before; empty while nobody listens here. */
    private List<SignalHandler> before = List.of();

    /** Hears signals from now on: {@code cancel} is called with a reason when the first one comes. */
    void listen(Consumer<String> cancel) {
        before = SIGNALS.stream()
                .map(name -> Signal.handle(new Signal(name), received -> onSignal(received, cancel)))
                .toList();
    }

    /** Leaves signals to whoever heard them before. */
    void stopListening() {
        for (int i = 0; i < before.size(); i++) {
            Signal.handle(new Signal(SIGNALS.get(i)), before.get(i));
        }
    }

    private synchronized void onSignal(Signal received, Consumer<String> cancel) {
        if (signal != 0) {
            Runtime.getRuntime().halt(128 + received.getNumber());
        }
        signal = received.getNumber();
        cancel.accept("interrupted by SIG" + received.getName());
    }

    /** The signal that has come, or 0. */
    int signal() {
        return signal;
    }
}

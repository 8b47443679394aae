// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import dev.vublk.blockdev.BlockLimits;
import dev.vublk.emulator.DiskConfig;
import dev.vublk.emulator.Emulator;
import dev.vublk.emulator.EmulatorConfig;
import dev.vublk.tools.control.ControlServer;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.io.PrintWriter;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.function.IntConsumer;
import sun.misc.Signal;
import sun.misc.SignalHandler;

/** Runs an emulator until a signal, or until nobody can connect any more. Used once, by the main thread. */
final class Server {
    private static final List<String> STOP_SIGNALS = List.of("TERM", "INT");

    /** Shows on standard error what every request that waits is doing. */
    private static final String DUMP_SIGNAL = "USR2";

    /** Looks again how large the disks are. */
    private static final String RESIZE_SIGNAL = "HUP";

    private final PrintWriter out;
    private final ControlOptions control;
    private final IntConsumer halt;
    private final CompletableFuture<Void> toldToStop = new CompletableFuture<>();

    /** What signals want the main thread to do: the emulator is its own. */
    private final BlockingQueue<Event> events = new LinkedBlockingQueue<>();

    private enum Event {
        RESIZE,
        STOP
    }

    Server(PrintWriter out, ControlOptions control) {
        this(out, control, Runtime.getRuntime()::halt);
    }

    /** {@code halt} ends the process with that status, at once. */
    Server(PrintWriter out, ControlOptions control, IntConsumer halt) {
        this.out = out;
        this.control = control;
        this.halt = halt;
    }

    /** Returns the exit status. */
    int serve(EmulatorConfig config) throws IOException {
        // Before the first socket file is there: a signal from now on leaves none behind.
        List<SignalHandler> before = STOP_SIGNALS.stream()
                .map(name -> Signal.handle(new Signal(name), signal -> onSignal(signal.getNumber())))
                .toList();
        SignalHandler beforeResize = Signal.handle(new Signal(RESIZE_SIGNAL), signal -> events.add(Event.RESIZE));
        try (Emulator emulator = control.newEmulator(config)) {
            emulator.start();
            Signal.handle(new Signal(DUMP_SIGNAL), signal -> System.err.print(emulator.dump()));
            ControlServer socket = control.listen(emulator, config);
            try {
                serveUntilTold(emulator, config);
            } finally {
                if (socket != null) {
                    socket.close();
                }
            }
        } catch (CompletionException e) {
            throw new IOException("serving has ended: " + e.getCause(), e);
        } catch (InterruptedException e) {
            throw new InterruptedIOException("interrupted");
        } finally {
            Signal.handle(new Signal(DUMP_SIGNAL), SignalHandler.SIG_IGN);
            Signal.handle(new Signal(RESIZE_SIGNAL), beforeResize);
            for (int i = 0; i < before.size(); i++) {
                Signal.handle(new Signal(STOP_SIGNALS.get(i)), before.get(i));
            }
        }
        return 0;
    }

    private void serveUntilTold(Emulator emulator, EmulatorConfig config) throws InterruptedException {
        List<BlockLimits> limits = emulator.diskLimits();
        for (int i = 0; i < limits.size(); i++) {
            out.println(readyLine(config.disks().get(i), limits.get(i)));
        }
        out.flush();
        CompletableFuture<Object> ended = CompletableFuture.anyOf(toldToStop, emulator.served())
                .whenComplete((nothing, failure) -> events.add(Event.STOP));
        while (events.take() == Event.RESIZE) {
            resize(emulator, config);
        }
        ended.join();
    }

    /** One line for each disk that has grown. */
    private void resize(Emulator emulator, EmulatorConfig config) {
        List<BlockLimits> before = emulator.diskLimits();
        emulator.refreshSizes();
        List<BlockLimits> after = emulator.diskLimits();
        for (int i = 0; i < after.size(); i++) {
            long sizeBytes = after.get(i).sizeBytes();
            if (sizeBytes != before.get(i).sizeBytes()) {
                DiskConfig disk = config.disks().get(i);
                out.println("resized: " + disk.block().image() + " on "
                        + disk.listener().describe() + " (" + SizeConverter.format(sizeBytes) + ")");
            }
        }
        out.flush();
    }

    /** For programs that wait for it: begins with {@code ready: IMAGE on SOCKET}, which will stay. */
    static String readyLine(DiskConfig disk, BlockLimits limits) {
        int queues = disk.device().queueCountMax();
        return "ready: " + disk.block().image() + " on " + disk.listener().describe() + " ("
                + SizeConverter.format(limits.sizeBytes()) + ", " + queues + (queues == 1 ? " queue" : " queues")
                + (limits.readOnly() ? ", read-only)" : ")");
    }

    /** The first signal stops in order; the second one ends the process where it stands. Any thread. */
    void onSignal(int number) {
        if (!toldToStop.complete(null)) {
            halt.accept(128 + number);
        }
    }

    /** Whether a signal has come. */
    boolean isToldToStop() {
        return toldToStop.isDone();
    }
}

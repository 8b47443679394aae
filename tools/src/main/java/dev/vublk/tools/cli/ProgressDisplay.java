// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import dev.vublk.tools.image.Conversion;
import dev.vublk.tools.image.CopyProgress;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/** Shows how far a conversion is, several times a second, from a thread of its own until it is closed. */
final class ProgressDisplay implements AutoCloseable {
    /** Often enough for the eye. */
    private static final long PERIOD_MS = 200;

    private static final int BAR_WIDTH = 24;

    /** Throughput is that of about so long. */
    private static final double WINDOW_S = 2;

    private final Conversion conversion;
    private final ProgressOptions.Kind kind;
    private final PrintWriter out;
    private final @Nullable Thread thread;

    private long lastNs;
    private long lastBytes;
    private double bytesPerSecond;
    private boolean drawn;

    /** @param out where to: standard error for a terminal */
    ProgressDisplay(Conversion conversion, ProgressOptions.Kind kind, PrintWriter out) {
        this.conversion = conversion;
        this.kind = kind;
        this.out = out;
        thread = kind == ProgressOptions.Kind.NONE
                ? null
                : Thread.ofPlatform().name("vublk-progress").daemon().start(this::run);
    }

    /** Whether standard error is a terminal. */
    static boolean isTerminal() {
        try {
            String name = Files.readSymbolicLink(Path.of("/proc/self/fd/2")).toString();
            return name.startsWith("/dev/pts/") || name.startsWith("/dev/tty") || name.equals("/dev/console");
        } catch (IOException e) {
            return false;
        }
    }

    private void run() {
        try {
            while (true) {
                Thread.sleep(PERIOD_MS);
                CopyProgress progress = conversion.progress();
                if (progress != null) {
                    show(progress, false);
                }
            }
        } catch (InterruptedException e) {
            // The end.
        }
    }

    private void show(CopyProgress progress, boolean last) {
        measure(progress);
        if (kind == ProgressOptions.Kind.JSON) {
            out.println(json(progress, bytesPerSecond, last));
        } else {
            out.print("\r" + bar(progress, bytesPerSecond) + "\033[K");
            drawn = true;
        }
        out.flush();
    }

    private void measure(CopyProgress progress) {
        long now = progress.elapsedNs();
        long done = progress.doneBytes();
        double seconds = (now - lastNs) / 1e9;
        if (seconds <= 0) {
            return;
        }
        double current = (done - lastBytes) / seconds;
        double weight = lastNs == 0 ? 1 : 1 - Math.exp(-seconds / WINDOW_S);
        bytesPerSecond += weight * (current - bytesPerSecond);
        lastNs = now;
        lastBytes = done;
    }

    /** One line for a terminal, at most 79 columns. */
    static String bar(CopyProgress progress, double bytesPerSecond) {
        long done = progress.doneBytes();
        long total = progress.totalBytes();
        String speed = SizeConverter.format((long) bytesPerSecond) + "/s";
        if (total <= 0) {
            return SizeConverter.format(done) + ", " + speed;
        }
        int filled = (int) (BAR_WIDTH * Math.min(done, total) / total);
        String bar = "=".repeat(filled) + (filled < BAR_WIDTH ? ">" + " ".repeat(BAR_WIDTH - filled - 1) : "");
        return String.format(
                Locale.ROOT,
                "%3d%% [%s] %s of %s, %s, %s",
                100 * done / total,
                bar,
                SizeConverter.format(done),
                SizeConverter.format(total),
                speed,
                eta(total - done, bytesPerSecond));
    }

    private static String eta(long leftBytes, double bytesPerSecond) {
        if (leftBytes <= 0) {
            return "done";
        }
        double seconds = leftBytes / bytesPerSecond;
        if (!(seconds < 360_000)) { // not a number at the start; 100 hours
            return "ETA --:--";
        }
        long whole = (long) Math.ceil(seconds);
        return whole < 3600
                ? String.format(Locale.ROOT, "ETA %d:%02d", whole / 60, whole % 60)
                : String.format(Locale.ROOT, "ETA %d:%02d:%02d", whole / 3600, whole / 60 % 60, whole % 60);
    }

    /** One line for a program. */
    static String json(CopyProgress progress, double bytesPerSecond, boolean last) {
        long total = progress.totalBytes();
        long left = total - progress.doneBytes();
        return String.format(
                Locale.ROOT,
                "{\"event\": \"%s\", \"done\": %d, \"total\": %s, \"data\": %d, \"zero\": %d, \"same\": %d,"
                        + " \"bytes-per-second\": %d, \"elapsed-ms\": %d, \"eta-ms\": %s}",
                last ? "done" : "progress",
                progress.doneBytes(),
                total < 0 ? "null" : total,
                progress.dataBytes(),
                progress.zeroBytes(),
                progress.sameBytes(),
                (long) bytesPerSecond,
                progress.elapsedNs() / 1_000_000,
                total < 0 || bytesPerSecond <= 0 ? "null" : (long) (1000 * left / bytesPerSecond));
    }

    /** The conversion is done: shows that. */
    void finish() {
        stop();
        CopyProgress progress = conversion.progress();
        if (thread != null && progress != null) {
            show(progress, true);
        }
    }

    private void stop() {
        if (thread == null) {
            return;
        }
        thread.interrupt();
        try {
            thread.join();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** Leaves the terminal's line. */
    @Override
    public void close() {
        stop();
        if (drawn) {
            out.println();
            out.flush();
        }
    }
}

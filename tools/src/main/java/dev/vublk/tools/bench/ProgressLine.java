// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import java.io.Console;
import java.io.PrintWriter;
import java.util.Locale;
import java.util.function.LongConsumer;

/** One line on a terminal that is written over and over with the speed of the moment; nothing elsewhere. One thread. */
public final class ProgressLine implements LongConsumer, AutoCloseable {
    private static final double NS_PER_S = 1e9;
    private static final double BYTES_PER_MIB = 1 << 20;

    /** Back to the first column, and erase to the end of the line (ECMA-48 EL). */
    private static final String BLANK = "\r\033[K";

    private final PrintWriter out;
    private final boolean shown;
    private final int blockBytes;
    private final long startNs = System.nanoTime();
    private long lastNs = startNs;
    private long lastCount;
    private boolean written;

    private ProgressLine(PrintWriter out, boolean shown, int blockBytes) {
        this.out = out;
        this.shown = shown;
        this.blockBytes = blockBytes;
    }

    /** Shown when the process has a terminal. */
    @SuppressWarnings("SystemConsoleNull") // From JDK 25 on it is null again without a terminal (JDK-8351435).
    public static ProgressLine onTerminal(PrintWriter out, BenchOptions options) {
        Console console = System.console();
        return new ProgressLine(out, console != null && console.isTerminal(), options.blockBytes());
    }

    /** Takes the number of requests so far. */
    @Override
    public void accept(long count) {
        long nowNs = System.nanoTime();
        if (shown && nowNs > lastNs) {
            double iops = (count - lastCount) * NS_PER_S / (nowNs - lastNs);
            out.print(BLANK
                    + String.format(
                            Locale.ROOT,
                            "%6.1f s  %,12.0f IOPS  %,10.1f MiB/s",
                            (nowNs - startNs) / NS_PER_S,
                            iops,
                            iops * blockBytes / BYTES_PER_MIB));
            out.flush();
            written = true;
        }
        lastNs = nowNs;
        lastCount = count;
    }

    /** Takes the line away. */
    @Override
    public void close() {
        if (written) {
            written = false;
            out.print(BLANK);
            out.flush();
        }
    }
}

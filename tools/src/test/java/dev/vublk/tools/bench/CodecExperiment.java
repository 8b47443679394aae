// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import dev.vublk.blockdev.codec.BlockCodec;
import dev.vublk.blockdev.linux.NativeMemory;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.locks.LockSupport;

/**
 * The lock-free codec engine beside a pool with one lock and one request a worker, with 1, 2, 4 and 8 workers: throughput,
 * context switches, CPU time of the workers, blocks that no worker was free for.
 *
 * <p>Pages of 4 KiB, as a migration has them, and clusters of 64 KiB. Where all are compressed, the old pool's submitter waits for
 * a worker and the new one's works itself; where none waits, what finds no worker goes out as it is,
 * to a link of one gigabit a second. Arguments: rounds, file of
 * the report, directory of the plots.
 */
public final class CodecExperiment {
    private static final int[] THREADS = {1, 2, 4, 8};
    private static final int SOURCE_BYTES = 16 << 20;
    private static final int LEVEL = 1;
    private static final int WARM_UPS = 1;

    /** A gigabit a second: what a migration might have. */
    private static final double LINK_BYTES_PER_NS = 0.125;

    /** What sockets' buffers hold. */
    private static final long LINK_BUFFER_NS = 1_000_000;

    /** Designs of a pool; the first is what the other is compared with. */
    private enum Design {
        ONE_LOCK("one lock"),
        LOCK_FREE("lock-free");

        private final String text;

        Design(String text) {
            this.text = text;
        }

        CodecPool create(int threads, int blockBytes, boolean waits) {
            return this == ONE_LOCK
                    ? new OneLockCodecPool(BlockCodec.QCOW2_ZLIB, LEVEL, threads, blockBytes, waits)
                    : new LockFreeCodecPool(BlockCodec.QCOW2_ZLIB, LEVEL, threads, blockBytes, waits);
        }
    }

    private static final List<Design> DESIGNS = List.of(Design.values());

    private final Report report;
    private final Medians medians = new Medians();
    private final long source;
    private final int rounds;

    private CodecExperiment(Report report, int rounds) {
        this.report = report;
        this.rounds = rounds;
        source = NativeMemory.allocateZeroed(SOURCE_BYTES);
        fill();
    }

    /** Measures and reports. */
    public static void main(String[] arguments) throws Exception {
        Report report = new Report(arguments.length > 2 ? Path.of(arguments[2]) : null);
        CodecExperiment experiment =
                new CodecExperiment(report, arguments.length > 0 ? Integer.parseInt(arguments[0]) : 5);
        experiment.run();
        experiment.show();
        if (arguments.length > 1) {
            report.writeTo(Path.of(arguments[1]));
        }
    }

    /** Text of few words, numbers, a quarter zeroes; the same in each run. */
    private void fill() {
        Random random = new Random(1);
        List<String> words =
                List.of("the", "block", "of", "a", "queue", "int", "return", "if", "for", "{", "}", "= 0x", "\n");
        StringBuilder text = new StringBuilder();
        for (long at = 0; at < SOURCE_BYTES; at += 4096) {
            if (random.nextInt(4) == 0) {
                continue;
            }
            text.setLength(0);
            while (text.length() < 4096) {
                text.append(words.get(random.nextInt(words.size()))).append(' ');
                if (random.nextInt(8) == 0) {
                    text.append(random.nextInt(100_000));
                }
            }
            NativeMemory.put(text.toString().getBytes(StandardCharsets.ISO_8859_1), 0, source + at, 4096);
        }
    }

    private void run() throws Exception {
        for (int round = -WARM_UPS; round < rounds; round++) {
            for (int blockBytes : new int[] {4096, 65_536}) {
                for (boolean waits : new boolean[] {true, false}) {
                    for (int threads : THREADS) {
                        for (int i = 0; i < 2; i++) {
                            // Now the one first, now the other.
                            measure(DESIGNS.get((i + round) & 1), blockBytes, waits, threads, round >= 0);
                        }
                    }
                }
            }
            report.progress("round %d", round);
        }
    }

    private void measure(Design design, int blockBytes, boolean waits, int threads, boolean counts) throws Exception {
        try (CodecPool pool = design.create(threads, blockBytes, waits)) {
            List<Thread> workers = pool.threads();
            ProcessUsage before = ProcessUsage.of(ProcessHandle.current().pid());
            long[] cpuNs = cpuNs(workers);
            long startNs = System.nanoTime();
            for (int at = 0; at < SOURCE_BYTES; at += blockBytes) {
                pool.submit(source + at, blockBytes);
                if (!waits) {
                    awaitLink(startNs, pool.outputBytes());
                }
            }
            pool.finish();
            double seconds = (System.nanoTime() - startNs) / 1e9;
            long[] endNs = cpuNs(workers);
            long switches =
                    ProcessUsage.of(ProcessHandle.current().pid()).since(before).switches();
            if (!counts) {
                return;
            }
            double least = Double.MAX_VALUE;
            double most = 0;
            for (int i = 0; i < cpuNs.length; i++) {
                double used = (endNs[i] - cpuNs[i]) / 1e9 / seconds;
                least = Math.min(least, used);
                most = Math.max(most, used);
            }
            double blocks = (double) SOURCE_BYTES / blockBytes;
            String name = name(design, blockBytes, waits, threads);
            medians.add(name + "speed", SOURCE_BYTES / seconds / 1e6);
            medians.add(name + "switches", switches / blocks * 1000);
            medians.add(name + "busy", pool.busyBlocks() / blocks);
            medians.add(name + "least", least * 100);
            medians.add(name + "most", most * 100);
            medians.add(name + "size", 100.0 * pool.outputBytes() / SOURCE_BYTES);
        }
    }

    /** Sleeps while more has gone out than the link takes in that time. */
    private static void awaitLink(long startNs, long outputBytes) {
        long aheadNs = startNs + (long) (outputBytes / LINK_BYTES_PER_NS) - System.nanoTime();
        if (aheadNs > LINK_BUFFER_NS) {
            LockSupport.parkNanos(aheadNs);
        }
    }

    private static long[] cpuNs(List<Thread> threads) {
        return threads.stream()
                .mapToLong(thread -> ManagementFactory.getThreadMXBean().getThreadCpuTime(thread.threadId()))
                .toArray();
    }

    private static String name(Design design, int blockBytes, boolean waits, int threads) {
        return design + "/" + blockBytes + "/" + waits + "/" + threads + "/";
    }

    private void show() throws IOException {
        report.line(
                "%s, %d processors, Linux %s; %d MB of text and zeroes, deflate level %d; medians of %d rounds.",
                Machine.processorName(),
                Runtime.getRuntime().availableProcessors(),
                kernel(),
                SOURCE_BYTES >> 20,
                LEVEL,
                rounds);
        for (int blockBytes : new int[] {4096, 65_536}) {
            for (boolean waits : new boolean[] {true, false}) {
                show(blockBytes, waits);
            }
        }
    }

    private void show(int blockBytes, boolean waits) throws IOException {
        report.line("");
        report.line("### Blocks of %d KiB, %s", blockBytes >> 10, waits ? "all compressed" : "nobody waits, 1 Gbit/s");
        report.line("");
        report.line(
                "| workers | pool | MB/s | context switches per 1000 blocks | CPU of the workers, %% | busy rate | output, %% |");
        report.line("|---|---|---|---|---|---|---|");
        List<String> groups = new ArrayList<>();
        double[][] speeds = new double[THREADS.length][DESIGNS.size()];
        for (int t = 0; t < THREADS.length; t++) {
            groups.add(THREADS[t] + (THREADS[t] == 1 ? " worker" : " workers"));
            for (int d = 0; d < DESIGNS.size(); d++) {
                Design design = DESIGNS.get(d);
                String name = name(design, blockBytes, waits, THREADS[t]);
                speeds[t][d] = medians.of(name + "speed");
                report.line(
                        "| %d | %s | %.0f | %.0f | %.0f to %.0f | %.2f | %.1f |",
                        THREADS[t],
                        design.text,
                        medians.of(name + "speed"),
                        medians.of(name + "switches"),
                        medians.of(name + "least"),
                        medians.of(name + "most"),
                        medians.of(name + "busy"),
                        medians.of(name + "size"));
            }
        }
        report.plot(
                "codec-" + (blockBytes >> 10) + "k-" + (waits ? "compressed" : "busy"),
                SvgChart.bars(
                        "Blocks of " + (blockBytes >> 10) + " KiB, "
                                + (waits ? "all compressed" : "nobody waits, 1 Gbit/s"),
                        "MB/s",
                        groups,
                        DESIGNS.stream().map(design -> design.text).toList(),
                        speeds));
    }

    private static String kernel() throws IOException {
        return Files.readString(Path.of("/proc/sys/kernel/osrelease")).strip();
    }
}

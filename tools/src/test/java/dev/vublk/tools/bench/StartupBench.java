// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code scripts/bench.sh startup}: from the start of vublk to the first request served, and to its full speed. */
@Command(
        name = "bench.sh startup",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "How long after its start vublk has served a front end's first requests, one on each of four queues, and how",
            "long until a null disk at depth 32 is as fast as it gets; with the cache of scripts/aot-cache.sh, and without."
        })
public final class StartupBench implements Callable<Integer> {
    private static final double NS_PER_MS = 1e6;
    private static final double NS_PER_S = 1e9;
    private static final int LOAD_S = 8;

    /** From here on the speed counts as the final one, and so much of it as reached. */
    private static final double SETTLED_S = 5.5;

    private static final double REACHED = 0.95;

    /** How vublk is started. */
    private enum Variant {
        AOT_CACHE("with the AOT cache", ""),
        PLAIN("without", "-XX:AOTMode=off");

        final String label;
        final String javaOptions;

        Variant(String label, String javaOptions) {
            this.label = label;
            this.javaOptions = javaOptions;
        }
    }

    private record Progress(double seconds, long count) {}

    @Option(names = "--rounds", paramLabel = "N", description = "Rounds (default 5).")
    private int rounds = 5;

    @Mixin
    private final ReportOptions reporting = new ReportOptions();

    private final Medians medians = new Medians();
    private final Path launcher = Path.of(System.getProperty("vublk.launcher", "scripts/vublk"));

    private StartupBench() {}

    public static void main(String[] args) {
        System.exit(new CommandLine(new StartupBench()).execute(args));
    }

    @Override
    public Integer call() throws Exception {
        Report report = reporting.begin("bench.sh startup", null);
        Path directory = Files.createTempDirectory("vublk-startup");
        try {
            measure(Variant.PLAIN, directory, new Medians()); // Only that the client is compiled.
            for (int round = 0; round < rounds; round++) {
                for (Variant variant : Variant.values()) {
                    measure(variant, directory, medians);
                    report.progress("%s: first requests after %.0f ms", variant.label, medians.of(variant + "/first"));
                }
            }
        } finally {
            Machine.deleteTree(directory);
        }
        report.line("%d rounds; medians (least - most).%n", rounds);
        report.line(
                "| vublk | first requests served after, ms | full speed (%.0f %%) after, s | requests/s at full speed |",
                REACHED * 100);
        report.line("|---|---|---|---|");
        for (Variant variant : Variant.values()) {
            report.line(
                    "| %s | %.0f (%.0f - %.0f) | %.1f (%.1f - %.1f) | %s |",
                    variant.label,
                    medians.of(variant + "/first"),
                    medians.min(variant + "/first"),
                    medians.max(variant + "/first"),
                    medians.of(variant + "/steady"),
                    medians.min(variant + "/steady"),
                    medians.max(variant + "/steady"),
                    Machine.thousands(medians.of(variant + "/iops")));
        }
        reporting.end(report);
        return 0;
    }

    private void measure(Variant variant, Path directory, Medians into) throws Exception {
        Path socket = directory.resolve("vublk.sock");
        long startNs = System.nanoTime();
        Process process = new ProcessBuilder(
                        "env",
                        "VUBLK_JAVA_OPTS=" + variant.javaOptions,
                        launcher.toString(),
                        "export",
                        "null:1G",
                        "--socket",
                        socket.toString(),
                        "--queues",
                        "4")
                .redirectOutput(directory.resolve("log").toFile())
                .redirectErrorStream(true)
                .start();
        try {
            awaitFirstRequests(socket, process);
            into.add(variant + "/first", (System.nanoTime() - startNs) / NS_PER_MS);
            load(variant, socket, startNs, into);
        } finally {
            process.destroy();
            process.waitFor();
            Files.deleteIfExists(socket);
        }
    }

    /** A front end that tries until somebody listens. */
    private static void awaitFirstRequests(Path socket, Process process) throws IOException, InterruptedException {
        while (true) {
            if (Files.exists(socket)) {
                try {
                    IdleDisks.connect(List.of(socket.toString())).close();
                    return;
                } catch (IOException notYet) {
                    if (!process.isAlive()) {
                        throw notYet;
                    }
                }
            }
            if (process.waitFor(1, TimeUnit.MILLISECONDS)) {
                throw new IOException("vublk did not start");
            }
        }
    }

    private static void load(Variant variant, Path socket, long startNs, Medians into) throws IOException {
        List<Progress> progress = new ArrayList<>();
        new Bench(BenchOptions.builder(socket.toString())
                        .ioDepth(32)
                        .warmupSeconds(0)
                        .timeSeconds(LOAD_S)
                        .build())
                .run(count -> progress.add(new Progress((System.nanoTime() - startNs) / NS_PER_S, count)));
        Medians settled = new Medians();
        for (int i = 1; i < progress.size(); i++) {
            if (progress.get(i).seconds() > SETTLED_S) {
                settled.add("rate", rate(progress, i));
            }
        }
        double full = settled.of("rate");
        into.add(variant + "/iops", full);
        for (int i = 1; i < progress.size(); i++) {
            if (rate(progress, i) >= REACHED * full) {
                into.add(variant + "/steady", progress.get(i).seconds());
                return;
            }
        }
    }

    private static double rate(List<Progress> progress, int index) {
        Progress from = progress.get(index - 1);
        Progress to = progress.get(index);
        return (to.count() - from.count()) / (to.seconds() - from.seconds());
    }
}

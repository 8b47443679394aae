// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code scripts/bench.sh flags}: what flags of the virtual machine do to speed, processor time and memory. */
@Command(
        name = "bench.sh flags",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = "vublk with other flags of the virtual machine beside those that its launcher gives, in turn.")
public final class FlagsBench implements Callable<Integer> {
    private static final int IMAGE_MIB = 256;
    private static final int COMPILED_S = 3;
    private static final double KIB_PER_MIB = 1024;

    /** What the launcher's flags are changed to. */
    private enum Variant {
        LAUNCHER(""),
        PARALLEL_GC("-XX:-UseSerialGC -XX:+UseParallelGC"),
        G1("-XX:-UseSerialGC -XX:+UseG1GC"),
        ZGC("-XX:-UseSerialGC -XX:+UseZGC"),
        SMALL_HEAP("-Xmx32m"),
        LARGE_HEAP("-Xms256m -Xmx256m"),
        COMPACT_HEADERS("-XX:+UseCompactObjectHeaders"),
        HUGE_PAGES("-XX:+UseTransparentHugePages"),
        AOT_PROFILES("-XX:+UnlockDiagnosticVMOptions -XX:+AOTReplayTraining"),
        C1_ONLY("-XX:TieredStopAtLevel=1"),
        C2_ONLY("-XX:-TieredCompilation"),
        MORE_INLINING("-XX:MaxInlineLevel=30 -XX:FreqInlineSize=650");

        final String javaOptions;

        Variant(String javaOptions) {
            this.javaOptions = javaOptions;
        }
    }

    /** A load whose requests a second are told. */
    private record Load(String label, String disk, int depth) {}

    private static final List<Load> LOADS = List.of(
            new Load("null depth 32", "null", 32),
            new Load("null depth 1", "null", 1),
            new Load("tmpfs depth 32", "tmpfs", 32));

    @Option(names = "--rounds", paramLabel = "N", description = "Rounds (default 5).")
    private int rounds = 5;

    @Option(names = "--time", paramLabel = "SECONDS", description = "Each measurement (default 0.5).")
    private double timeSeconds = 0.5;

    @Option(
            names = "--flags",
            split = ",",
            paramLabel = "LIST",
            description = "Of ${COMPLETION-CANDIDATES} (default all).")
    private List<Variant> variants = List.of(Variant.values());

    @Mixin
    private final ReportOptions reporting = new ReportOptions();

    private final Medians medians = new Medians();
    private final Path launcher = Path.of(System.getProperty("vublk.launcher", "scripts/vublk"));

    private FlagsBench() {}

    public static void main(String[] args) {
        System.exit(new CommandLine(new FlagsBench())
                .setCaseInsensitiveEnumValuesAllowed(true)
                .execute(args));
    }

    @Override
    public Integer call() throws Exception {
        Report report = reporting.begin("bench.sh flags", null);
        Path directory = Files.createTempDirectory("vublk-flags");
        Path image = Files.createTempFile(Path.of("/dev/shm"), "vublk-flags", ".img");
        try {
            Machine.fill(image, IMAGE_MIB);
            for (int round = 0; round < rounds; round++) {
                for (int i = 0; i < variants.size(); i++) {
                    measure(variants.get((i + round) % variants.size()), directory, image, report);
                }
            }
        } finally {
            Files.deleteIfExists(image);
            Machine.deleteTree(directory);
        }
        write(report);
        reporting.end(report);
        return 0;
    }

    private void measure(Variant variant, Path directory, Path image, Report report) throws Exception {
        Path last = directory.resolve("tmpfs.sock");
        long startNs = System.nanoTime();
        try (ComparedServer server = ComparedServer.start(
                variant.name(),
                directory,
                last,
                List.of(
                        "env",
                        "VUBLK_JAVA_OPTS=" + variant.javaOptions,
                        launcher.toString(),
                        "export",
                        "--queues",
                        "4",
                        "--disk",
                        "image=null:1G,socket=" + directory.resolve("null.sock"),
                        "--disk",
                        "image=" + image + ",socket=" + last))) {
            medians.add(variant + "start", (System.nanoTime() - startNs) / 1e6);
            double warmupSeconds = COMPILED_S;
            for (Load load : LOADS) {
                BenchResult result = RunningLoad.run(BenchOptions.builder(
                                directory.resolve(load.disk + ".sock").toString())
                        .ioDepth(load.depth)
                        .warmupSeconds(warmupSeconds)
                        .timeSeconds(timeSeconds)
                        .backendPid(server.pid())
                        .build());
                warmupSeconds = timeSeconds;
                medians.add(variant + load.label, result.iops());
                report.progress("%s, %s: %s IOPS", variant, load.label, Machine.thousands(result.iops()));
            }
            medians.add(variant + "rss", Machine.residentKib(server.pid()) / KIB_PER_MIB);
        } finally {
            Files.deleteIfExists(last);
        }
    }

    private void write(Report report) {
        report.line("%d rounds of %.1f s each; medians (least - most).%n", rounds, timeSeconds);
        report.line(
                "| flags | %s | MiB at the end | listens after, ms |",
                LOADS.stream().map(load -> load.label + " IOPS").collect(Collectors.joining(" | ")));
        report.line("|---|%s---|---|", "---|".repeat(LOADS.size()));
        for (Variant variant : variants) {
            String rates = LOADS.stream()
                    .map(load -> String.format(
                            Locale.ROOT,
                            "%s (%s - %s)",
                            Machine.thousands(medians.of(variant + load.label)),
                            Machine.thousands(medians.min(variant + load.label)),
                            Machine.thousands(medians.max(variant + load.label))))
                    .collect(Collectors.joining(" | "));
            report.line(
                    "| %s | %s | %.0f | %.0f |",
                    variant == Variant.LAUNCHER
                            ? "the launcher's"
                            : Arrays.stream(variant.javaOptions.split(" "))
                                    .map(flag -> "`" + flag + "`")
                                    .collect(Collectors.joining(" ")),
                    rates,
                    medians.of(variant + "rss"),
                    medians.of(variant + "start"));
        }
    }
}

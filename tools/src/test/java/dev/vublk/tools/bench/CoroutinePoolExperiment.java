// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * {@code scripts/bench.sh coroutine-pool}: pool designs under the whole path, each in a server process of its own, with the
 * load of {@code vublk bench} made in this one.
 */
@Command(
        name = "bench.sh coroutine-pool",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = "Designs of coroutine pools under the whole path: front end, rings, IOThread, virtio-blk, disk.")
public final class CoroutinePoolExperiment implements Callable<Integer> {
    private static final int IMAGE_MIB = 256;

    /** What is measured. */
    enum Part {
        DESIGNS,
        DEPTHS,
        UNEVEN,
        SPIKE
    }

    @Option(names = "--rounds", paramLabel = "N", description = "Rounds (default 5); what is compared alternates.")
    private int rounds = 5;

    @Option(names = "--time", paramLabel = "SECONDS", description = "Each measurement (default 1.5).")
    private double timeSeconds = 1.5;

    @Option(names = "--warmup", paramLabel = "SECONDS", description = "Before each measurement (default 0.3).")
    private double warmupSeconds = 0.3;

    @Option(
            names = "--parts",
            split = ",",
            paramLabel = "LIST",
            description = "Of designs, depths, uneven, spike (default all).")
    private Set<Part> parts = EnumSet.allOf(Part.class);

    @Option(names = "--out", paramLabel = "FILE", description = "Write the tables to FILE as well, as Markdown.")
    private @Nullable Path out;

    @Option(names = "--plots", paramLabel = "DIRECTORY", description = "Write pictures there, as SVG.")
    private @Nullable Path plots;

    /** What the parts share. */
    record Setting(Path directory, String image, int rounds, double timeSeconds, double warmupSeconds, Report report) {}

    private CoroutinePoolExperiment() {}

    public static void main(String[] args) {
        System.exit(new CommandLine(new CoroutinePoolExperiment())
                .setCaseInsensitiveEnumValuesAllowed(true)
                .execute(args));
    }

    @Override
    public Integer call() throws Exception {
        Report report = new Report(plots);
        Path directory = Files.createTempDirectory("vublk-pools");
        Path image = Files.createTempFile(Path.of("/dev/shm"), "vublk-pools", ".img");
        try {
            Machine.fill(image, IMAGE_MIB);
            measure(new Setting(directory, image.toString(), rounds, timeSeconds, warmupSeconds, report));
        } finally {
            Files.deleteIfExists(image);
            Machine.deleteTree(directory);
        }
        if (out != null) {
            report.writeTo(out);
        }
        return 0;
    }

    private void measure(Setting setting) throws Exception {
        setting.report()
                .line(
                        "%s, %d processors, Linux %s, Java %s; %d rounds of %.1f s after %.1f s of warm-up; medians.%n",
                        Machine.processorName(),
                        Runtime.getRuntime().availableProcessors(),
                        System.getProperty("os.version"),
                        System.getProperty("java.version"),
                        rounds,
                        timeSeconds,
                        warmupSeconds);
        if (parts.contains(Part.DESIGNS) || parts.contains(Part.DEPTHS)) {
            new PoolThroughput(setting, parts).run();
        }
        if (parts.contains(Part.UNEVEN)) {
            new PoolBalance(setting).run();
        }
        if (parts.contains(Part.SPIKE)) {
            new PoolSpike(setting).run();
        }
    }

    /** The designs, beginning with another one in each round: nobody always comes first. */
    static List<PoolDesign> order(List<PoolDesign> designs, int round) {
        List<PoolDesign> order = new ArrayList<>(designs);
        Collections.rotate(order, -round);
        return order;
    }

    /** The load of {@code vublk bench}, in a thread of its own. */
    static java.util.concurrent.FutureTask<BenchResult> inBackground(BenchOptions options) {
        java.util.concurrent.FutureTask<BenchResult> run =
                new java.util.concurrent.FutureTask<>(() -> new Bench(options).run(progress -> {}));
        Thread.ofPlatform().name("bench").daemon().start(run);
        return run;
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import static java.util.Objects.requireNonNull;

import dev.vublk.emulator.virtioblk.RingBench;
import java.util.Collection;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import org.openjdk.jmh.infra.BenchmarkParams;
import org.openjdk.jmh.profile.GCProfiler;
import org.openjdk.jmh.results.Result;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.TimeValue;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code scripts/bench.sh jmh}: the pieces of a request's way one by one, each with what it allocates. */
@Command(
        name = "bench.sh jmh",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = "JMH benchmarks of the pieces: time and bytes allocated for each call.")
public final class PiecesBench implements Callable<Integer> {
    /** Allocation of a whole run, such as JMH's own, spread over its calls: less is nothing. */
    private static final double NOTHING_BYTES = 0.5;

    /** JMH's name for bytes allocated for each call. */
    private static final String ALLOCATED = "gc.alloc.rate.norm";

    /** What each benchmark is, for people, by class and method. */
    private static final Map<String, String> TITLES = Map.of(
            "RingBench.carry", "through a ring and back: add, pop, push, take",
            "RingBench.carryAndParse", "the same and parsed",
            "RingBench.translate", "translation of a guest address",
            "RuntimeBench.takeAndRelease", "coroutines: taken from the pool and given back",
            "RuntimeBench.resumeAndSuspend", "coroutine: resumed and suspended",
            "RuntimeBench.submitAndDrain", "calls handed to a worker and back");

    @Option(names = "--include", paramLabel = "REGEX", description = "Which benchmarks (default all).")
    private String include = "(RingBench|RuntimeBench)";

    @Option(names = "--iterations", paramLabel = "N", description = "Measured iterations (default 5).")
    private int iterations = 5;

    @Option(names = "--time", paramLabel = "SECONDS", description = "Of each iteration (default 0.5).")
    private double timeSeconds = 0.5;

    @Mixin
    private final ReportOptions reporting = new ReportOptions();

    private PiecesBench() {}

    public static void main(String[] args) {
        System.exit(new CommandLine(new PiecesBench()).execute(args));
    }

    /** Returns 1 when a piece allocates. */
    @Override
    public Integer call() throws Exception {
        TimeValue time = TimeValue.milliseconds((long) (timeSeconds * 1000));
        Collection<RunResult> results = new Runner(new OptionsBuilder()
                        .include(include)
                        .addProfiler(GCProfiler.class)
                        .warmupIterations(3)
                        .warmupTime(time)
                        .measurementIterations(iterations)
                        .measurementTime(time)
                        .build())
                .run();
        Report report = reporting.begin("bench.sh jmh", null);
        report.line("%d iterations of %.1f s after 3 of warm-up.%n", iterations, timeSeconds);
        report.line("| piece | ns | +- | bytes allocated |");
        report.line("|---|---|---|---|");
        boolean allocates = false;
        for (RunResult run : results) {
            Result<?> primary = run.getPrimaryResult();
            double bytes = requireNonNull(run.getSecondaryResults().get(ALLOCATED), ALLOCATED)
                    .getScore();
            allocates |= bytes >= NOTHING_BYTES;
            report.line(
                    "| %s%s | %.1f | %.1f | %.2f |",
                    title(run.getParams()),
                    parameters(run.getParams()),
                    primary.getScore(),
                    primary.getScoreError(),
                    bytes);
        }
        reporting.end(report);
        return allocates ? 1 : 0;
    }

    private static String title(BenchmarkParams params) {
        String name = params.getBenchmark();
        for (Class<?> owner : List.of(RingBench.class, RuntimeBench.class)) {
            if (name.startsWith(owner.getName())) {
                String method =
                        owner.getSimpleName() + name.substring(owner.getName().length());
                return TITLES.getOrDefault(method, method);
            }
        }
        return name;
    }

    private static String parameters(BenchmarkParams params) {
        StringBuilder text = new StringBuilder();
        for (String key : params.getParamsKeys()) {
            text.append(", ")
                    .append(params.getParam(key).toLowerCase(Locale.ROOT).replace('_', ' '))
                    .append(key.equals("layout") ? "" : " " + (key.equals("depth") ? "at a time" : key));
        }
        return text.toString();
    }
}

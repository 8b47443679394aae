// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code scripts/bench.sh profile}: what an IOThread's time goes into, and its system calls. */
@Command(
        name = "bench.sh profile",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description =
                "Where an IOThread under load spends its time, as a table and as a flame graph, and its system calls per request. Needs"
                        + " perf, as root.")
public final class ProfileBench implements Callable<Integer> {
    private static final int IMAGE_MIB = 512;
    private static final int WARMUP_S = 5;
    private static final int SLACK_S = 2;

    /** Functions with less of the time are not told. Arbitrary. */
    private static final double LEAST_PART = 0.02;

    /** How an IOThread's name begins. */
    private static final String IO_THREADS = "vublk-iothread";

    /** Those that the way of a request may take. */
    private static final List<String> SYSTEM_CALLS = List.of(
            "io_uring_enter",
            "read",
            "write",
            "preadv2",
            "pwritev2",
            "fdatasync",
            "epoll_pwait",
            "futex",
            "sched_yield");

    @Option(
            names = "--disks",
            split = ",",
            paramLabel = "LIST",
            description = "Of null, tmpfs, ext4, ext4_cached (default all).")
    private List<ComparedDisk> disks =
            List.of(ComparedDisk.NULL, ComparedDisk.TMPFS, ComparedDisk.EXT4, ComparedDisk.EXT4_CACHED);

    @Option(names = "--rw", paramLabel = "KIND", description = "As of vublk bench (default randread).")
    private Workload workload = Workload.RANDREAD;

    @Option(names = "--iodepth", paramLabel = "N", description = "Requests in flight (default 32).")
    private int depth = 32;

    @Option(names = "--event", description = "A client that sleeps.")
    private boolean event;

    @Option(
            names = "--time",
            paramLabel = "SECONDS",
            description = "For the stacks, and again for the calls (default 3).")
    private double timeSeconds = 3;

    @Option(names = "--frequency", paramLabel = "HZ", description = "Stacks a second (default 1999).")
    private int frequency = 1999;

    @Option(
            names = "--directory",
            paramLabel = "DIR",
            description = "Where the file of disk ext4 is made (default /var/tmp).")
    private Path diskDirectory = Path.of("/var/tmp");

    @Option(names = "--plots", paramLabel = "DIRECTORY", description = "Write the flame graphs there, as SVG.")
    private @Nullable Path plots;

    @Mixin
    private final ReportOptions reporting = new ReportOptions();

    private ProfileBench() {}

    public static void main(String[] args) {
        System.exit(new CommandLine(new ProfileBench())
                .setCaseInsensitiveEnumValuesAllowed(true)
                .execute(args));
    }

    @Override
    public Integer call() throws Exception {
        if (disks.stream().anyMatch(ComparedDisk::isQcow2)) {
            throw new IllegalArgumentException("--disks: no qcow2 images here");
        }
        Report report = reporting.begin("bench.sh profile", plots);
        for (ComparedDisk disk : disks) {
            Path directory = Files.createTempDirectory("vublk-profile");
            Path image = disk.createImage(diskDirectory, IMAGE_MIB);
            try {
                profile(disk, directory, image, report);
            } finally {
                Files.deleteIfExists(image);
                Machine.deleteTree(directory);
            }
        }
        reporting.end(report);
        return 0;
    }

    private void profile(ComparedDisk disk, Path directory, Path image, Report report) throws Exception {
        try (ComparedServer server = serve(disk, directory, image, "")) {
            RunningLoad load = RunningLoad.start(load(server));
            FlameGraph graph = look(server, directory);
            Map<String, Double> calls = Perf.systemCalls(server.pid(), SYSTEM_CALLS, timeSeconds);
            write(disk, graph, load.result(), calls, report);
        }
        // Stacks need frame pointers, and with those the virtual machine copies coroutines' stacks in a slower way.
        try (ComparedServer server = serve(disk, directory, image, "-XX:+PreserveFramePointer")) {
            RunningLoad load = RunningLoad.start(load(server));
            FlameGraph graph = look(server, directory);
            load.result();
            report.plot("profile-" + name(disk), graph.svg("IOThread: " + what(disk)));
        }
    }

    private ComparedServer serve(ComparedDisk disk, Path directory, Path image, String javaOptions) throws Exception {
        Path socket = directory.resolve("vublk.sock");
        List<String> command = new ArrayList<>(List.of("env", "VUBLK_JAVA_OPTS=" + javaOptions));
        command.addAll(disk.vublk(Path.of(System.getProperty("vublk.launcher", "scripts/vublk")), image, socket, 1));
        return ComparedServer.start("vublk", directory, socket, command);
    }

    private FlameGraph look(ComparedServer server, Path directory) throws IOException, InterruptedException {
        Path map = Path.of("/tmp", "perf-" + server.pid() + ".map"); // where perf looks for it
        try {
            String _ = Machine.output(List.of(
                    Path.of(System.getProperty("java.home"), "bin", "jcmd").toString(),
                    String.valueOf(server.pid()),
                    "Compiler.perfmap"));
            return FlameGraph.of(
                    Perf.stacks(server.pid(), frequency, timeSeconds, directory.resolve("perf.data")), IO_THREADS);
        } finally {
            Files.deleteIfExists(map);
        }
    }

    private BenchOptions load(ComparedServer server) {
        return BenchOptions.builder(server.socket.toString())
                .workload(workload)
                .ioDepth(depth)
                .event(event)
                .backendPid(server.pid())
                .warmupSeconds(WARMUP_S)
                .timeSeconds(2 * timeSeconds + SLACK_S)
                .build();
    }

    private static String name(ComparedDisk disk) {
        return disk.name().toLowerCase(Locale.ROOT);
    }

    private String what(ComparedDisk disk) {
        return String.format(
                Locale.ROOT,
                "%s, %s 4k depth %d%s",
                disk.label,
                workload.name().toLowerCase(Locale.ROOT),
                depth,
                event ? ", sleeping client" : "");
    }

    private void write(
            ComparedDisk disk, FlameGraph graph, BenchResult result, Map<String, Double> calls, Report report)
            throws IOException {
        report.line("## %s%n", what(disk));
        report.line(
                "%s IOPS, %.3f s of processor time per million; %d samples of the IOThread, %.0f %% of them in the kernel.%n",
                Machine.thousands(result.iops()),
                result.backendCpuSecondsPerMillion(),
                graph.samples(),
                100 * graph.partInKernel());
        report.line("| in | part |");
        report.line("|---|---|");
        graph.functions(LEAST_PART).forEach((name, part) -> report.line("| `%s` | %.1f %% |", name, 100 * part));
        report.line("");
        report.line("| system calls | per request |");
        report.line("|---|---|");
        calls.forEach((name, rate) -> {
            if (rate > 0) {
                report.line("| %s | %.4f |", name, rate / result.iops());
            }
        });
        report.line("");
    }
}

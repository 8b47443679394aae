// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code scripts/bench.sh memory}: what vublk's process takes with one disk, under load, and for each further idle disk. */
@Command(
        name = "bench.sh memory",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description =
                "Memory of vublk (RSS without memory shared with guests): one disk of 64 queues, and idle ones beside it.")
public final class MemoryBench implements Callable<Integer> {
    private static final double KIB_PER_MIB = 1024;

    @Option(names = "--rounds", paramLabel = "N", description = "Rounds (default 3).")
    private int rounds = 3;

    @Option(names = "--disks", paramLabel = "N", description = "Idle disks beside the one (default 50).")
    private int disks = 50;

    @Mixin
    private final ReportOptions reporting = new ReportOptions();

    private final Medians medians = new Medians();
    private final Path launcher = Path.of(System.getProperty("vublk.launcher", "scripts/vublk"));

    private MemoryBench() {}

    public static void main(String[] args) {
        System.exit(new CommandLine(new MemoryBench()).execute(args));
    }

    @Override
    public Integer call() throws Exception {
        Report report = reporting.begin("bench.sh memory", null);
        Path directory = Files.createTempDirectory("vublk-memory");
        try {
            for (int round = 0; round < rounds; round++) {
                double alone = measure(directory, 0);
                double together = measure(directory, disks);
                medians.add("further", (together - alone) / disks);
                report.progress("one disk %.0f MiB, with %d more %.0f MiB", alone, disks, together);
            }
        } finally {
            Machine.deleteTree(directory);
        }
        report.line("%d rounds; medians (least - most).%n", rounds);
        report.line("| vublk | MiB |");
        report.line("|---|---|");
        line(report, "one disk of 64 queues, nobody connected", "started", "%.0f");
        line(report, "the same, every queue set up and used once", "connected", "%.0f");
        line(report, "after 3 s of load, 4 queues at depth 64", "loaded", "%.0f");
        line(
                report,
                "each further disk of 64 queues (of " + disks + "), every queue used once, idle",
                "further",
                "%.2f");
        reporting.end(report);
        return 0;
    }

    private void line(Report report, String what, String key, String format) {
        report.line(
                "| %s | " + format + " (" + format + " - " + format + ") |",
                what,
                medians.of(key),
                medians.min(key),
                medians.max(key));
    }

    /** MiB with the one disk in use and the others idle, before any load. */
    private double measure(Path directory, int idle) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of(launcher.toString(), "export"));
        List<String> sockets = new ArrayList<>();
        for (int i = 0; i <= idle; i++) {
            String socket = directory.resolve("disk" + i).toString();
            sockets.add(socket);
            command.addAll(List.of("--disk", "image=null:1G,socket=" + socket));
        }
        // Their sockets appear in the order of the disks.
        try (ComparedServer server = ComparedServer.start("vublk", directory, Path.of(sockets.getLast()), command)) {
            double started = mib(server);
            double connected;
            try (IdleDisks _ = IdleDisks.connect(sockets)) {
                connected = mib(server);
            }
            if (idle == 0) {
                medians.add("started", started);
                medians.add("connected", connected);
                new Bench(BenchOptions.builder(sockets.getFirst())
                                .queues(4)
                                .ioDepth(64)
                                .timeSeconds(3)
                                .build())
                        .run(progress -> {});
                medians.add("loaded", mib(server));
            }
            return connected;
        }
    }

    private static double mib(ComparedServer server) {
        return Machine.residentKib(server.pid()) / KIB_PER_MIB;
    }
}

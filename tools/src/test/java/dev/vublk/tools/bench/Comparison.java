// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/**
 * {@code scripts/bench.sh compare}: vublk and qemu-storage-daemon under the same load of the same client, in turn. For a file on
 * a disk fio's own io_uring on the file itself is the third.
 */
@Command(
        name = "bench.sh compare",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = "vublk beside qemu-storage-daemon: the same disks, the same load, in turn within each round.")
public final class Comparison implements Callable<Integer> {
    static final String VUBLK = "vublk";
    private static final int IMAGE_MIB = 512;
    private static final String VUBLK_2 = "vublk-2-iothreads";
    private static final String QSD = "qsd";
    private static final String QSD_URING = "qsd-io_uring";
    private static final String FIO = "fio";
    private static final double SYSCALLS_S = 0.5;

    @Option(names = "--rounds", paramLabel = "N", description = "Rounds (default 5).")
    private int rounds = 5;

    @Option(names = "--time", paramLabel = "SECONDS", description = "Each measurement (default 1).")
    private double timeSeconds = 1;

    @Option(names = "--warmup", paramLabel = "SECONDS", description = "Before each measurement (default 0.3).")
    private double warmupSeconds = 0.3;

    @Option(
            names = "--groups",
            split = ",",
            paramLabel = "LIST",
            description = "Of ${COMPLETION-CANDIDATES} (default all).")
    private Set<ComparedCase.Group> groups = EnumSet.allOf(ComparedCase.Group.class);

    @Option(
            names = "--directory",
            paramLabel = "DIR",
            description =
                    "Where the files of the groups with ext4 in their name are made, on a disk (default /var/tmp).")
    private Path diskDirectory = Path.of("/var/tmp");

    @Option(
            names = "--syscalls",
            description = "Count system calls as well, by perf, in runs of their own after the others.")
    private boolean syscalls;

    @Mixin
    private final ReportOptions reporting = new ReportOptions();

    @Option(names = "--plots", paramLabel = "DIRECTORY", description = "Write pictures there, as SVG.")
    private @Nullable Path plots;

    private final Medians medians = new Medians();

    private Comparison() {}

    public static void main(String[] args) {
        System.exit(new CommandLine(new Comparison())
                .setCaseInsensitiveEnumValuesAllowed(true)
                .execute(args));
    }

    @Override
    public Integer call() throws Exception {
        Report report = reporting.begin("bench.sh compare", plots);
        report.line(
                "%s; %d rounds of %.1f s after %.1f s of warm-up each; medians (least - most).%n",
                Machine.output(List.of("qemu-storage-daemon", "--version"))
                        .lines()
                        .findFirst()
                        .orElse(""),
                rounds,
                timeSeconds,
                warmupSeconds);
        List<Process> spinners = startSpinners();
        try {
            for (ComparedCase.Group group : groups) {
                compare(group, report);
            }
        } finally {
            spinners.forEach(Process::destroyForcibly);
        }
        reporting.end(report);
        return 0;
    }

    /**
     * Keeps every processor awake, at a priority at which it takes no time from anybody: a virtual processor that has gone to
     * sleep takes up to 100 us to wake, which would be all that is measured where one side sleeps.
     */
    private static List<Process> startSpinners() throws IOException {
        List<Process> spinners = new ArrayList<>();
        for (int cpu = 0; cpu < Runtime.getRuntime().availableProcessors(); cpu++) {
            spinners.add(new ProcessBuilder(
                            "taskset",
                            "-c",
                            String.valueOf(cpu),
                            "chrt",
                            "--idle",
                            "0",
                            "bash",
                            "-c",
                            "while :; do :; done")
                    .start());
        }
        return spinners;
    }

    private void compare(ComparedCase.Group group, Report report) throws Exception {
        List<ComparedCase> cases = group.cases();
        ComparedDisk disk = cases.getFirst().disk();
        if (disk == ComparedDisk.QCOW2_NEW) {
            compareNew(group, cases, disk, report);
            return;
        }
        Path directory = Files.createTempDirectory("vublk-compare");
        Path image = disk.createImage(diskDirectory, IMAGE_MIB);
        try {
            if (disk != ComparedDisk.NULL) {
                Machine.output(List.of("sync", image.toString()));
            }
            if (disk.isQcow2()) {
                for (String name : names(group, disk)) {
                    String copy = disk.image(image, name).toString();
                    Machine.output(List.of("qemu-img", "convert", "-f", "raw", "-O", "qcow2", image.toString(), copy));
                    Machine.output(List.of("sync", copy));
                }
            }
            compare(group, cases, disk, directory, image, report);
        } finally {
            for (String name : names(group, disk)) {
                Files.deleteIfExists(disk.image(image, name));
            }
            Files.deleteIfExists(image);
            Machine.deleteTree(directory);
        }
    }

    private void compare(
            ComparedCase.Group group,
            List<ComparedCase> cases,
            ComparedDisk disk,
            Path directory,
            Path image,
            Report report)
            throws Exception {
        List<String> names = names(group, disk);
        List<ComparedServer> servers = new ArrayList<>();
        try {
            for (String name : names) {
                if (!name.equals(FIO)) {
                    Path socket = directory.resolve(name + ".sock");
                    servers.add(ComparedServer.start(
                            name, directory, socket, command(name, disk, disk.image(image, name), socket)));
                }
            }
            for (ComparedServer server : servers) {
                warmUp(cases.getFirst(), server);
            }
            for (int round = 0; round < rounds; round++) {
                for (ComparedCase each : cases) {
                    for (int i = 0; i < names.size(); i++) {
                        String name = names.get((i + round) % names.size()); // nobody always comes first
                        if (name.equals(FIO)) {
                            measureFio(each, image, group);
                        } else {
                            measure(each, named(name, servers), group, report);
                        }
                    }
                }
            }
            if (syscalls) {
                for (ComparedCase each : cases) {
                    for (ComparedServer server : servers) {
                        countSyscalls(each, server, group);
                    }
                }
            }
            write(group, cases, names, servers, report);
        } finally {
            servers.forEach(ComparedServer::close);
        }
    }

    /** Each measurement writes an image in which nothing is allocated: one process has all of them, so that it is warm. */
    private void compareNew(ComparedCase.Group group, List<ComparedCase> cases, ComparedDisk disk, Report report)
            throws Exception {
        List<String> names = names(group, disk);
        Path directory = Files.createTempDirectory(Path.of("/dev/shm"), "vublk-compare");
        List<NewImages> images = new ArrayList<>();
        try {
            for (String name : names) {
                images.add(NewImages.start(name, directory, disk, 1 + rounds * cases.size()));
            }
            for (NewImages each : images) {
                warmUp(cases.getFirst(), each.next());
            }
            for (int round = 0; round < rounds; round++) {
                for (ComparedCase each : cases) {
                    for (int i = 0; i < names.size(); i++) {
                        measure(each, images.get((i + round) % names.size()).next(), group, report);
                    }
                }
            }
            write(group, cases, names, images.stream().map(NewImages::next).toList(), report);
        } finally {
            images.forEach(NewImages::close);
            Machine.deleteTree(directory);
        }
    }

    /** Only that everything is compiled, on both sides, and every page of the image has been touched. */
    private static void warmUp(ComparedCase first, ComparedServer server) throws IOException {
        new Bench(first.options(server).ioDepth(32).timeSeconds(3).build()).run(progress -> {});
    }

    private static List<String> names(ComparedCase.Group group, ComparedDisk disk) {
        if (group.hasTwoIoThreads()) {
            return List.of(VUBLK, VUBLK_2, QSD);
        }
        return switch (disk) {
            case NULL, TMPFS, QCOW2, QCOW2_EXT4, QCOW2_NEW -> List.of(VUBLK, QSD);
            case EXT4 -> List.of(VUBLK, QSD, FIO);
            case EXT4_CACHED -> List.of(VUBLK, QSD, QSD_URING);
        };
    }

    private static List<String> command(String name, ComparedDisk disk, Path image, Path socket) {
        return switch (name) {
            case VUBLK -> disk.vublk(launcher(), image, socket, 1);
            case VUBLK_2 -> disk.vublk(launcher(), image, socket, 2);
            default -> disk.qemuStorageDaemon(image, socket, name.equals(QSD_URING));
        };
    }

    static Path launcher() {
        return Path.of(System.getProperty("vublk.launcher", "scripts/vublk"));
    }

    private static ComparedServer named(String name, List<ComparedServer> servers) {
        return servers.stream()
                .filter(server -> server.name.equals(name))
                .findFirst()
                .orElseThrow();
    }

    private static String key(ComparedCase.Group group, ComparedCase each, String name, String what) {
        return group + "/" + each.label() + "/" + name + "/" + what;
    }

    private void measure(ComparedCase each, ComparedServer server, ComparedCase.Group group, Report report)
            throws Exception {
        BenchResult result = RunningLoad.run(each.options(server)
                .timeSeconds(timeSeconds)
                .warmupSeconds(warmupSeconds)
                .build());
        medians.add(key(group, each, server.name, "iops"), result.iops());
        medians.add(key(group, each, server.name, "cpu"), result.backendCpuSecondsPerMillion());
        medians.add(key(group, each, server.name, "p50"), result.latency().p50());
        medians.add(key(group, each, server.name, "p999"), result.latency().p999());
        medians.add(key(group, each, server.name, "switches"), result.backendSwitchesPerRequest());
        medians.add(key(group, each, server.name, "rss"), Machine.residentKib(server.pid()) / 1024.0);
        report.progress("%s, %s: %s IOPS", each.label(), server.name, Machine.thousands(result.iops()));
    }

    /** fio on the file itself: what the disk gives without any virtual machine in between. */
    private void measureFio(ComparedCase each, Path image, ComparedCase.Group group) throws Exception {
        JsonNode job = new ObjectMapper()
                .readTree(Machine.output(List.of(
                        "fio",
                        "--name=fio",
                        "--filename=" + image,
                        "--rw=" + each.workload().name().toLowerCase(Locale.ROOT),
                        "--bs=" + each.blockBytes(),
                        "--iodepth=" + each.depth(),
                        "--ioengine=io_uring",
                        "--direct=1",
                        "--thread",
                        "--time_based",
                        "--runtime=" + (long) (timeSeconds * 1000) + "ms",
                        "--ramp_time=" + (long) (warmupSeconds * 1000) + "ms",
                        "--output-format=json")))
                .path("jobs")
                .path(0);
        double iops = job.path("read").path("iops").asDouble()
                + job.path("write").path("iops").asDouble();
        double cpuPart = (job.path("usr_cpu").asDouble() + job.path("sys_cpu").asDouble()) / 100;
        medians.add(key(group, each, FIO, "iops"), iops);
        medians.add(key(group, each, FIO, "cpu"), cpuPart / iops * 1e6);
        JsonNode latency = job.path(each.workload().writes() ? "write" : "read")
                .path("clat_ns")
                .path("percentile");
        medians.add(key(group, each, FIO, "p50"), latency.path("50.000000").asDouble() / 1e3);
        medians.add(key(group, each, FIO, "p999"), latency.path("99.900000").asDouble() / 1e3);
    }

    /** In the middle of a run, while nothing starts or ends. */
    private void countSyscalls(ComparedCase each, ComparedServer server, ComparedCase.Group group) throws Exception {
        BenchOptions options = each.options(server)
                .timeSeconds(SYSCALLS_S * 2)
                .warmupSeconds(SYSCALLS_S)
                .build();
        RunningLoad load = RunningLoad.start(options);
        double rate = Perf.systemCalls(server.pid(), SYSCALLS_S);
        medians.add(
                key(group, each, server.name, "syscalls"), rate / load.result().iops());
    }

    private void write(
            ComparedCase.Group group,
            List<ComparedCase> cases,
            List<String> names,
            List<ComparedServer> servers,
            Report report)
            throws IOException {
        List<String> serverNames = servers.stream().map(server -> server.name).toList();
        report.line("## %s%s%n", cases.getFirst().disk().label, group.hasTwoIoThreads() ? ", 2 IOThreads" : "");
        report.line(
                "| load | %s | vublk / qsd | CPU s/million: %s | p50, p99.9 us: %s | switches/I/O: %s |%s",
                String.join(" IOPS | ", names) + " IOPS",
                String.join(", ", names),
                String.join("; ", names),
                String.join(", ", serverNames),
                syscalls ? " system calls/I/O: " + String.join(", ", serverNames) + " |" : "");
        report.line("|---%s|---|---|---|---|%s", "|---".repeat(names.size()), syscalls ? "---|" : "");
        for (ComparedCase each : cases) {
            StringBuilder line = new StringBuilder("| ").append(each.label());
            for (String name : names) {
                String key = key(group, each, name, "iops");
                line.append(String.format(
                        Locale.ROOT,
                        " | %s (%s - %s)",
                        Machine.thousands(medians.of(key)),
                        Machine.thousands(medians.min(key)),
                        Machine.thousands(medians.max(key))));
            }
            line.append(String.format(
                    Locale.ROOT,
                    " | %.2f",
                    medians.of(key(group, each, VUBLK, "iops")) / medians.of(key(group, each, QSD, "iops"))));
            line.append(" | ").append(list(group, each, names, "cpu", "%.3f"));
            line.append(" | ");
            for (String name : names) {
                line.append(String.format(
                        Locale.ROOT,
                        "%s%.1f, %.0f",
                        name.equals(names.getFirst()) ? "" : "; ",
                        medians.of(key(group, each, name, "p50")),
                        medians.of(key(group, each, name, "p999"))));
            }
            line.append(" | ").append(list(group, each, serverNames, "switches", "%.4f"));
            if (syscalls) {
                line.append(" | ").append(list(group, each, serverNames, "syscalls", "%.4f"));
            }
            report.line("%s |", line);
        }
        ComparedCase last = cases.getLast();
        report.line(
                "%nMemory (RSS without shared memory): vublk %.0f MiB, qsd %.0f MiB.%n",
                medians.max(key(group, last, servers.getFirst().name, "rss")),
                medians.max(key(group, last, servers.getLast().name, "rss")));
        if (!group.hasTwoIoThreads()) {
            plot(group, cases, names, report);
        }
    }

    private String list(ComparedCase.Group group, ComparedCase each, List<String> names, String what, String format) {
        return String.join(
                ", ",
                names.stream()
                        .map(name -> String.format(Locale.ROOT, format, medians.of(key(group, each, name, what))))
                        .toList());
    }

    private void plot(ComparedCase.Group group, List<ComparedCase> cases, List<String> names, Report report)
            throws IOException {
        List<ComparedCase> drawn = cases.stream()
                .filter(each -> each.workload() == cases.getFirst().workload() && each.queues() == 1 && !each.event())
                .toList();
        List<String> drawnNames =
                names.reversed(); // the picture's last series is the one that the others are compared with
        double[][] values = drawn.stream()
                .map(each -> drawnNames.stream()
                        .mapToDouble(name -> medians.of(key(group, each, name, "iops")) / 1000)
                        .toArray())
                .toArray(double[][]::new);
        report.plot(
                "compare-" + group.name().toLowerCase(Locale.ROOT),
                SvgChart.bars(
                        cases.getFirst().disk().label + ", "
                                + cases.getFirst().workload().name().toLowerCase(Locale.ROOT) + " "
                                + cases.getFirst().blockBytes() / 1024 + "k",
                        "kIOPS",
                        drawn.stream().map(each -> "depth " + each.depth()).toList(),
                        drawnNames,
                        values));
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/**
 * {@code scripts/bench-guest.sh}: fio in a real guest that has a disk of each back end, and loads them in turn. The guest's own
 * work is most of what is measured where it is emulated; the processor time of the back ends is not.
 */
@Command(
        name = "bench-guest.sh",
        mixinStandardHelpOptions = true,
        sortOptions = false,
        description = {
            "fio in a real guest with two disks, one of vublk and one of qemu-storage-daemon, which it loads in turn.",
            "Needs what scripts/guest/setup.sh installs, and root."
        })
public final class GuestComparison implements Callable<Integer> {
    private static final int IMAGE_MIB = 256;
    private static final List<String> NAMES = List.of("vublk", "qsd");

    /** Which back end a disk of the guest is. */
    private static final Map<String, String> DISKS = Map.of("/dev/vda", NAMES.getFirst(), "/dev/vdb", NAMES.getLast());

    /** fio's start and end, and the guest's look at the clock, for each load. */
    private static final double OVERHEAD_S = 6;

    private static final int BOOT_S = 90;

    /** A kind of guest, and the script that boots it. */
    enum Guest {
        UML("User-Mode Linux, 1 processor, 1 queue", "uml-run.sh"),
        QEMU("QEMU (emulated processors), 2 processors, 2 queues", "qemu-run.sh");

        final String label;
        final String script;

        Guest(String label, String script) {
            this.label = label;
            this.script = script;
        }
    }

    @Option(names = "--guests", split = ",", paramLabel = "LIST", description = "Of uml, qemu (default both).")
    private Set<Guest> guests = new LinkedHashSet<>(List.of(Guest.values()));

    @Option(names = "--rounds", paramLabel = "N", description = "Rounds (default 5).")
    private int rounds = 5;

    @Option(names = "--time", paramLabel = "SECONDS", description = "Each measurement, whole seconds (default 1).")
    private int timeSeconds = 1;

    @Option(
            names = "--loads",
            split = ",",
            paramLabel = "LIST",
            description = "'seed' (randrw 4k, 16 threads of depth 64), or BLOCKSIZE:DEPTH of random reads"
                    + " (default seed,4k:1,4k:8,4k:32,4k:64,128k:1,128k:8,128k:32,128k:64).")
    private List<String> loads =
            List.of("seed", "4k:1", "4k:8", "4k:32", "4k:64", "128k:1", "128k:8", "128k:32", "128k:64");

    @Option(
            names = "--disk",
            paramLabel = "KIND",
            description = "tmpfs, ext4 (a file in --directory, with O_DIRECT), or null (default tmpfs).")
    private ComparedDisk disk = ComparedDisk.TMPFS;

    @Option(
            names = "--directory",
            paramLabel = "DIR",
            description = "Where files on a disk are made (default /var/tmp).")
    private Path diskDirectory = Path.of("/var/tmp");

    @Mixin
    private final ReportOptions reporting = new ReportOptions();

    @Option(names = "--plots", paramLabel = "DIRECTORY", description = "Write pictures there, as SVG.")
    private @Nullable Path plots;

    private final Medians medians = new Medians();
    private final Path launcher = Path.of(System.getProperty("vublk.launcher", "scripts/vublk"));

    private GuestComparison() {}

    public static void main(String[] args) {
        System.exit(new CommandLine(new GuestComparison())
                .setCaseInsensitiveEnumValuesAllowed(true)
                .execute(args));
    }

    @Override
    public Integer call() throws Exception {
        Report report = reporting.begin("bench-guest.sh", plots);
        report.line(
                "A disk of each on %s, a guest with both; %d rounds of %d s; medians (least - most).%n",
                disk.label, rounds, timeSeconds);
        for (Guest guest : guests) {
            measure(guest, report);
            write(guest, report);
        }
        reporting.end(report);
        return 0;
    }

    private void measure(Guest guest, Report report) throws Exception {
        Path directory = Files.createTempDirectory("vublk-guests");
        List<Path> images = new ArrayList<>();
        try {
            for (String _ : NAMES) {
                images.add(disk.createImage(diskDirectory, IMAGE_MIB));
            }
            Path ours = directory.resolve("vublk.sock");
            Path theirs = directory.resolve("qsd.sock");
            try (ComparedServer vublk = ComparedServer.start(
                            NAMES.getFirst(), directory, ours, disk.vublk(launcher, images.getFirst(), ours, 1));
                    ComparedServer qsd = ComparedServer.start(
                            NAMES.getLast(),
                            directory,
                            theirs,
                            disk.qemuStorageDaemon(images.getLast(), theirs, false))) {
                boot(guest, directory, List.of(vublk, qsd), report);
            }
        } finally {
            for (Path image : images) {
                Files.deleteIfExists(image);
            }
            Machine.deleteTree(directory);
        }
    }

    private void boot(Guest guest, Path directory, List<ComparedServer> servers, Report report) throws Exception {
        Path scripts = launcher.resolveSibling("guest");
        ProcessBuilder command = new ProcessBuilder(
                        scripts.resolve(guest.script).toString(),
                        servers.getFirst().socket + "," + servers.getLast().socket,
                        scripts.resolve("tests/compare.sh").toString())
                .redirectErrorStream(true);
        int measurements = (rounds * loads.size() + 1) * servers.size();
        command.environment()
                .put("GUEST_LIMIT", String.valueOf((int) (BOOT_S + measurements * (timeSeconds + OVERHEAD_S))));
        command.environment().put("GUEST_ENV", "ROUNDS=" + rounds + " RUNTIME=" + timeSeconds);
        // A list of words does not fit into GUEST_ENV.
        command.environment().put("GUEST_SHARE", directory.toString());
        Files.writeString(directory.resolve("loads"), String.join(" ", loads));
        Process process = command.start();
        process.getOutputStream().close();
        StringBuilder rest = new StringBuilder();
        try (BufferedReader lines =
                new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
            double[] cpuSeconds = cpuSeconds(servers);
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                if (line.startsWith("result ")) {
                    double[] now = cpuSeconds(servers);
                    take(guest, line.split(" ", -1), cpuSeconds, now, report);
                    cpuSeconds = now;
                } else {
                    rest.append(line).append('\n');
                }
            }
        } finally {
            process.destroy();
        }
        if (process.waitFor() != 0) {
            throw new IOException("the guest failed: " + rest.toString().strip());
        }
    }

    private static double[] cpuSeconds(List<ComparedServer> servers) throws IOException {
        return new double[] {
            ProcessUsage.of(servers.getFirst().pid()).cpuSeconds(),
            ProcessUsage.of(servers.getLast().pid()).cpuSeconds()
        };
    }

    /** {@code result ROUND LOAD DISK requests iops mean-us p50-us p99-us}, of tests/compare.sh. */
    private void take(Guest guest, String[] fields, double[] cpuBefore, double[] cpuAfter, Report report) {
        String name = DISKS.getOrDefault(fields[3], "");
        int index = NAMES.indexOf(name);
        double requests = Double.parseDouble(fields[4]);
        if (index < 0 || fields[1].equals("0") || requests == 0) {
            return; // Warm-up.
        }
        double iops = Double.parseDouble(fields[5]);
        medians.add(key(guest, fields[2], name, "iops"), iops);
        medians.add(key(guest, fields[2], name, "cpu"), (cpuAfter[index] - cpuBefore[index]) / requests * 1e6);
        medians.add(key(guest, fields[2], name, "mean"), Double.parseDouble(fields[6]));
        medians.add(key(guest, fields[2], name, "p99"), Double.parseDouble(fields[8]));
        report.progress("%s, %s, %s: %s IOPS", guest, fields[2], name, Machine.thousands(iops));
    }

    private static String key(Guest guest, String load, String name, String what) {
        return guest + "/" + load + "/" + name + "/" + what;
    }

    private void write(Guest guest, Report report) throws IOException {
        report.line("## %s%n", guest.label);
        report.line(
                "| load | vublk IOPS | qsd IOPS | vublk / qsd | CPU s/million: vublk, qsd | mean, p99 us: vublk; qsd |");
        report.line("|---|---|---|---|---|---|");
        for (String load : loads) {
            StringBuilder line = new StringBuilder("| ").append(label(load));
            for (String name : NAMES) {
                String key = key(guest, load, name, "iops");
                line.append(String.format(
                        Locale.ROOT,
                        " | %s (%s - %s)",
                        Machine.thousands(medians.of(key)),
                        Machine.thousands(medians.min(key)),
                        Machine.thousands(medians.max(key))));
            }
            line.append(String.format(
                    Locale.ROOT,
                    " | %.2f | %.1f, %.1f | %.0f, %.0f; %.0f, %.0f |",
                    of(guest, load, 0, "iops") / of(guest, load, 1, "iops"),
                    of(guest, load, 0, "cpu"),
                    of(guest, load, 1, "cpu"),
                    of(guest, load, 0, "mean"),
                    of(guest, load, 0, "p99"),
                    of(guest, load, 1, "mean"),
                    of(guest, load, 1, "p99")));
            report.line("%s", line);
        }
        report.line("");
        List<String> drawn =
                NAMES.reversed(); // The picture's last series is the one that the others are compared with.
        double[][] values = loads.stream()
                .map(load -> drawn.stream()
                        .mapToDouble(name -> medians.of(key(guest, load, name, "iops")) / 1000)
                        .toArray())
                .toArray(double[][]::new);
        report.plot(
                "guest-" + guest.name().toLowerCase(Locale.ROOT),
                SvgChart.bars("fio in a guest: " + guest.label, "kIOPS", loads, drawn, values));
    }

    private double of(Guest guest, String load, int name, String what) {
        return medians.of(key(guest, load, NAMES.get(name), what));
    }

    private static String label(String load) {
        int colon = load.indexOf(':');
        return colon < 0
                ? "randrw 4k, 16 threads of depth 64"
                : "randread " + load.substring(0, colon) + " depth " + load.substring(colon + 1);
    }
}

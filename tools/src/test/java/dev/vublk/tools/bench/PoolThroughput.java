// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import static java.util.Objects.requireNonNull;

import dev.vublk.tools.bench.CoroutinePoolExperiment.Part;
import dev.vublk.tools.bench.CoroutinePoolExperiment.Setting;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.FutureTask;

/**
 * What designs cost with one IOThread: all of them with 16 jobs at depth 64 (1024 requests outstanding), and the unbounded one
 * beside ours at depths 1 to 64. The servers of a round run side by side, the idle ones asleep. One thread.
 */
final class PoolThroughput {
    private static final List<PoolDesign> DESIGNS = List.of(PoolDesign.values());
    private static final List<PoolDesign> TWO = List.of(PoolDesign.UNBOUNDED, PoolDesign.VUBLK);
    private static final int JOBS = 16;
    private static final int JOB_DEPTH = 64;
    private static final int SHRINK_MS = 15_000;
    private static final int HEAP_MIB = 64;

    /** In this order in each server. */
    private static final List<String> DISKS = List.of("file on tmpfs, io_uring", "waiting 50 us, no data");

    private static final int FILE = 0;
    private static final int WAITING_US = 50;
    private static final int[] DEPTHS = {1, 8, 16, 32, 64};
    private static final int[] BLOCKS_BYTES = {4096, 131_072};
    private static final double COMPILE_SECONDS = 1.5;
    private static final double DEPTH_TIME_PART = 0.5;

    private final Setting setting;
    private final Set<Part> parts;
    private final Medians medians = new Medians();

    PoolThroughput(Setting setting, Set<Part> parts) {
        this.setting = setting;
        this.parts = parts;
    }

    void run() throws Exception {
        for (int round = 0; round < setting.rounds(); round++) {
            Map<PoolDesign, PoolServerProcess> servers = new EnumMap<>(PoolDesign.class);
            try {
                for (PoolDesign design : parts.contains(Part.DESIGNS) ? DESIGNS : TWO) {
                    servers.put(design, start(design));
                }
                if (parts.contains(Part.DESIGNS)) {
                    compareDesigns(servers, round);
                }
                if (parts.contains(Part.DEPTHS)) {
                    compareDepths(servers, round);
                }
            } finally {
                servers.values().forEach(PoolServerProcess::close);
            }
        }
        if (parts.contains(Part.DESIGNS)) {
            reportDesigns();
        }
        if (parts.contains(Part.DEPTHS)) {
            reportDepths();
        }
    }

    /** Warm: everything is compiled, and there are as many coroutines as it takes. */
    private PoolServerProcess start(PoolDesign design) throws Exception {
        PoolServerProcess server = PoolServerProcess.start(
                setting.directory(),
                design,
                1,
                JOBS,
                SHRINK_MS,
                HEAP_MIB,
                List.of(setting.image(), "waiting:" + WAITING_US));
        for (int disk = 0; disk < DISKS.size(); disk++) {
            new Bench(jobs(server, disk)
                            .warmupSeconds(0)
                            .timeSeconds(Math.min(COMPILE_SECONDS, setting.timeSeconds()))
                            .build())
                    .run(progress -> {});
        }
        return server;
    }

    private BenchOptions.Builder jobs(PoolServerProcess server, int disk) {
        return BenchOptions.builder(server.socket(disk))
                .queues(JOBS)
                .ioDepth(JOB_DEPTH)
                .timeSeconds(setting.timeSeconds())
                .warmupSeconds(setting.warmupSeconds())
                .backendPid(server.pid());
    }

    private void compareDesigns(Map<PoolDesign, PoolServerProcess> servers, int round) throws Exception {
        for (int disk = 0; disk < DISKS.size(); disk++) {
            for (PoolDesign design : CoroutinePoolExperiment.order(DESIGNS, round)) {
                measureJobs(requireNonNull(servers.get(design)), disk, design + "/" + disk + "/", round);
            }
        }
    }

    /** Counters are taken in the middle of the load: neither its beginning nor its end is in them. */
    private void measureJobs(PoolServerProcess server, int disk, String key, int round) throws Exception {
        FutureTask<BenchResult> load =
                CoroutinePoolExperiment.inBackground(jobs(server, disk).build());
        Thread.sleep((long) ((setting.warmupSeconds() + 0.1 * setting.timeSeconds()) * 1000));
        server.pauses();
        PoolServerProcess.Statistics before = server.statistics();
        Thread.sleep((long) (0.8 * setting.timeSeconds() * 1000));
        PoolServerProcess.Statistics after = server.statistics();
        PoolServerProcess.Pauses pauses = server.pauses();
        BenchResult result = load.get();

        double seconds = (after.get("ns") - before.get("ns")) / 1e9;
        double requests = result.iops() * seconds;
        medians.add(key + "iops", result.iops());
        medians.add(key + "cpu", result.backendCpuSecondsPerMillion());
        medians.add(key + "created", (after.get("created") - before.get("created")) / requests);
        medians.add(key + "bytes", (after.get("allocated") - before.get("allocated")) / requests);
        medians.add(key + "gcs", pauses.count() / seconds);
        medians.add(key + "pause", pauses.count() == 0 ? 0 : pauses.sumMs() / pauses.count());
        medians.add(key + "pause-max", pauses.maxMs());
        medians.add(key + "p99", result.latency().p99());
        medians.add(key + "peak", after.get("peak"));
        setting.report()
                .progress(
                        "round %d: %s %s IOPS, %.0f out at once, %.0f created, %d collections",
                        round + 1,
                        key,
                        Machine.thousands(result.iops()),
                        after.get("peak"),
                        after.get("created") - before.get("created"),
                        pauses.count());
    }

    private void compareDepths(Map<PoolDesign, PoolServerProcess> servers, int round) throws Exception {
        for (int blockBytes : BLOCKS_BYTES) {
            for (int depth : DEPTHS) {
                for (PoolDesign design : CoroutinePoolExperiment.order(TWO, round)) {
                    PoolServerProcess server = requireNonNull(servers.get(design));
                    BenchResult result = new Bench(BenchOptions.builder(server.socket(FILE))
                                    .ioDepth(depth)
                                    .blockBytes(blockBytes)
                                    .timeSeconds(DEPTH_TIME_PART * setting.timeSeconds())
                                    .warmupSeconds(setting.warmupSeconds())
                                    .backendPid(server.pid())
                                    .build())
                            .run(progress -> {});
                    String key = design + "/" + blockBytes + "/" + depth + "/";
                    medians.add(key + "iops", result.iops());
                    medians.add(key + "cpu", result.backendCpuSecondsPerMillion());
                    setting.report().progress("round %d: %s %s IOPS", round + 1, key, Machine.thousands(result.iops()));
                }
            }
        }
    }

    private void reportDesigns() throws Exception {
        setting.report().line("## 16 jobs at depth 64: 1024 requests outstanding, 4k random reads, one IOThread%n");
        setting.report()
                .line(
                        "| disk | design | IOPS (least - most) | CPU s/million | p99 us | most out at once | creations/request"
                                + " | bytes/request | collections/s | pause ms mean / max |");
        setting.report().line("|---|---|---|---|---|---|---|---|---|---|");
        double[][] bars = new double[DISKS.size()][DESIGNS.size()];
        for (int disk = 0; disk < DISKS.size(); disk++) {
            for (PoolDesign design : DESIGNS) {
                String key = design + "/" + disk + "/";
                bars[disk][DESIGNS.indexOf(design)] = medians.of(key + "iops") / 1000;
                setting.report()
                        .line(
                                "| %s | %s | %s (%s - %s) | %.3f | %.0f | %.0f | %.4f | %.1f | %.1f | %.2f / %.2f |",
                                DISKS.get(disk),
                                design.label(),
                                Machine.thousands(medians.of(key + "iops")),
                                Machine.thousands(medians.min(key + "iops")),
                                Machine.thousands(medians.max(key + "iops")),
                                medians.of(key + "cpu"),
                                medians.of(key + "p99"),
                                medians.of(key + "peak"),
                                medians.of(key + "created"),
                                medians.of(key + "bytes"),
                                medians.of(key + "gcs"),
                                medians.of(key + "pause"),
                                medians.max(key + "pause-max"));
            }
        }
        setting.report().line("");
        setting.report()
                .plot(
                        "coroutine-pool-designs",
                        SvgChart.bars(
                                "1024 requests outstanding, 4k random reads: IOPS",
                                "k",
                                DISKS,
                                DESIGNS.stream().map(PoolDesign::label).toList(),
                                bars));
    }

    private void reportDepths() throws Exception {
        setting.report().line("## One queue, %s: ours beside the unbounded pool%n", DISKS.get(FILE));
        setting.report()
                .line(
                        "| block | depth | unbounded IOPS | vublk IOPS | ratio | unbounded CPU s/million | vublk | ratio |");
        setting.report().line("|---|---|---|---|---|---|---|---|");
        List<String> groups = new ArrayList<>();
        double[][] bars = new double[DEPTHS.length][TWO.size()];
        for (int blockBytes : BLOCKS_BYTES) {
            for (int i = 0; i < DEPTHS.length; i++) {
                String key = "/" + blockBytes + "/" + DEPTHS[i] + "/";
                double theirs = medians.of(PoolDesign.UNBOUNDED + key + "iops");
                double ours = medians.of(PoolDesign.VUBLK + key + "iops");
                double theirCpu = medians.of(PoolDesign.UNBOUNDED + key + "cpu");
                double ourCpu = medians.of(PoolDesign.VUBLK + key + "cpu");
                setting.report()
                        .line(
                                "| %dk | %d | %s | %s | %.3f | %.3f | %.3f | %.3f |",
                                blockBytes / 1024,
                                DEPTHS[i],
                                Machine.thousands(theirs),
                                Machine.thousands(ours),
                                ours / theirs,
                                theirCpu,
                                ourCpu,
                                ourCpu / theirCpu);
                if (blockBytes == BLOCKS_BYTES[0]) {
                    groups.add("depth " + DEPTHS[i]);
                    bars[i] = new double[] {theirs / 1000, ours / 1000};
                }
            }
        }
        setting.report().line("");
        setting.report()
                .plot(
                        "coroutine-pool-depths",
                        SvgChart.bars(
                                "4k random reads, one queue, file on tmpfs: IOPS",
                                "k",
                                groups,
                                TWO.stream().map(PoolDesign::label).toList(),
                                bars));
    }
}

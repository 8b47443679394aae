// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import dev.vublk.tools.bench.CoroutinePoolExperiment.Setting;
import dev.vublk.tools.bench.SvgChart.Point;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.FutureTask;

/**
 * What the heap holds before, during and after a spike of 8192 outstanding requests: looked at after collections of garbage,
 * several times a second. One thread.
 */
final class PoolSpike {
    private static final List<PoolDesign> DESIGNS = List.of(PoolDesign.FIXED, PoolDesign.UNBOUNDED, PoolDesign.VUBLK);
    private static final int QUEUES = 32;
    private static final int DEPTH = 256;
    private static final int SHRINK_MS = 2000;

    /** Of the disk: requests wait so long that all of them are there at once. */
    private static final int WAITING_US = 200_000;

    /** Of the disk on which everything is compiled before. */
    private static final int SHORT_WAITING_US = 50;

    private static final int SHORT_WAITING = 0;
    private static final int LONG_WAITING = 1;
    private static final int USUAL_DEPTH = 64;

    /** So much that the limit derived from it, a coroutine in 16 KiB, lies above the spike. */
    private static final int HEAP_MIB = 256;

    private static final double SPIKE_SECONDS = 2;
    private static final double END_SECONDS = 9;
    private static final long LOOK_MS = 250;

    private final Setting setting;

    PoolSpike(Setting setting) {
        this.setting = setting;
    }

    /** What there was at one time. */
    private record Look(double seconds, double coroutines, double heapMib) {}

    void run() throws Exception {
        List<List<Look>> all = new ArrayList<>();
        setting.report()
                .line(
                        "## A spike of %d outstanding requests, %d ms a shrinking period, heap after collections%n",
                        QUEUES * DEPTH, SHRINK_MS);
        setting.report()
                .line("| design | before: coroutines, heap | most in the spike | just after | 2 s after | 4 s after"
                        + " | at the end |");
        setting.report().line("|---|---|---|---|---|---|---|");
        for (PoolDesign design : DESIGNS) {
            List<Look> looks = measure(design);
            all.add(looks);
            report(design, looks);
        }
        setting.report().line("");
        setting.report()
                .plot(
                        "coroutine-pool-spike-heap",
                        SvgChart.lines(
                                "Heap in use around a spike of " + QUEUES * DEPTH + " requests from 1 s to 3 s",
                                "MiB",
                                DESIGNS.stream().map(PoolDesign::label).toList(),
                                lines(all, true)));
        setting.report()
                .plot(
                        "coroutine-pool-spike-coroutines",
                        SvgChart.lines(
                                "Coroutines that exist around a spike of " + QUEUES * DEPTH
                                        + " requests from 1 s to 3 s",
                                "",
                                DESIGNS.stream().map(PoolDesign::label).toList(),
                                lines(all, false)));
    }

    private static List<List<Point>> lines(List<List<Look>> all, boolean heap) {
        return all.stream()
                .map(looks -> looks.stream()
                        .map(look -> new Point(look.seconds(), heap ? look.heapMib() : look.coroutines()))
                        .toList())
                .toList();
    }

    private List<Look> measure(PoolDesign design) throws Exception {
        List<Look> looks = new ArrayList<>();
        try (PoolServerProcess server = PoolServerProcess.start(
                setting.directory(),
                design,
                1,
                QUEUES,
                SHRINK_MS,
                HEAP_MIB,
                List.of("waiting:" + SHORT_WAITING_US, "waiting:" + WAITING_US))) {
            // Some work as it is before a spike, and as long as two periods.
            new Bench(options(server, SHORT_WAITING, USUAL_DEPTH, 2 * SHRINK_MS / 1000.0)
                            .build())
                    .run(progress -> {});
            long beginNs = System.nanoTime();
            lookUntil(server, beginNs, 1, looks);
            FutureTask<BenchResult> spike =
                    CoroutinePoolExperiment.inBackground(options(server, LONG_WAITING, DEPTH, SPIKE_SECONDS)
                            .queues(QUEUES)
                            .build());
            while (!spike.isDone()) {
                look(server, beginNs, looks);
            }
            spike.get();
            lookUntil(server, beginNs, END_SECONDS, looks);
        }
        return looks;
    }

    private static BenchOptions.Builder options(PoolServerProcess server, int disk, int depth, double seconds) {
        return BenchOptions.builder(server.socket(disk))
                .ioDepth(depth)
                .timeSeconds(seconds)
                .warmupSeconds(0)
                .event(true);
    }

    private static void lookUntil(PoolServerProcess server, long beginNs, double seconds, List<Look> looks)
            throws Exception {
        while (System.nanoTime() - beginNs < seconds * 1e9) {
            look(server, beginNs, looks);
        }
    }

    private static void look(PoolServerProcess server, long beginNs, List<Look> looks) throws Exception {
        PoolServerProcess.Statistics now = server.statisticsAfterGc();
        looks.add(new Look(
                (System.nanoTime() - beginNs) / 1e9,
                now.get("alive") + now.get("pooled") + now.get("shared"),
                now.get("heap") / (1 << 20)));
        Thread.sleep(LOOK_MS);
    }

    private void report(PoolDesign design, List<Look> looks) {
        double spikeEnd = 1 + SPIKE_SECONDS + 0.5;
        double period = SHRINK_MS / 1000.0;
        Look most = looks.getFirst();
        for (Look look : looks) {
            if (look.heapMib() > most.heapMib()) {
                most = look;
            }
        }
        setting.report()
                .line(
                        "| %s | %s | %s | %s | %s | %s | %s |",
                        design.label(),
                        text(at(looks, 1)),
                        text(most),
                        text(at(looks, spikeEnd)),
                        text(at(looks, spikeEnd + period)),
                        text(at(looks, spikeEnd + 2 * period)),
                        text(looks.getLast()));
    }

    /** The last look before that time. */
    private static Look at(List<Look> looks, double seconds) {
        Look found = looks.getFirst();
        for (Look look : looks) {
            if (look.seconds() <= seconds) {
                found = look;
            }
        }
        return found;
    }

    private static String text(Look look) {
        return String.format(java.util.Locale.ROOT, "%.0f, %.1f MiB", look.coroutines(), look.heapMib());
    }
}

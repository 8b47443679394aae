// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import dev.vublk.tools.bench.CoroutinePoolExperiment.Setting;
import java.io.IOException;
import java.util.List;

/**
 * Two IOThreads with uneven load that changes sides several times within a shrinking period: how fast, and how many coroutines
 * there are where nobody needs them. One thread.
 */
final class PoolBalance {
    private static final List<PoolDesign> DESIGNS = List.of(PoolDesign.FIXED, PoolDesign.UNBOUNDED, PoolDesign.VUBLK);
    private static final int IO_THREADS = 2;
    private static final int PHASES = 6;
    private static final int WARMUP_PHASES = 2;
    private static final int SHRINK_MS = 15_000;
    private static final int HEAP_MIB = 64;
    private static final int WAITING_US = 50;

    private final Setting setting;
    private final Medians medians = new Medians();

    PoolBalance(Setting setting) {
        this.setting = setting;
    }

    void run() throws Exception {
        for (int round = 0; round < setting.rounds(); round++) {
            for (PoolDesign design : CoroutinePoolExperiment.order(DESIGNS, round)) {
                try (PoolServerProcess server = PoolServerProcess.start(
                                setting.directory(),
                                design,
                                IO_THREADS,
                                UnevenLoad.QUEUES,
                                SHRINK_MS,
                                HEAP_MIB,
                                List.of("waiting:" + WAITING_US));
                        UnevenLoad load = new UnevenLoad(server.socket(0), 0.4 * setting.timeSeconds())) {
                    measure(design, server, load);
                }
            }
            setting.report().progress("round %d: uneven load done", round + 1);
        }
        report();
    }

    private void measure(PoolDesign design, PoolServerProcess server, UnevenLoad load) throws Exception {
        double requests = 0;
        double seconds = 0;
        double createdBefore = 0;
        for (int i = 0; i < WARMUP_PHASES + PHASES; i++) {
            if (i == WARMUP_PHASES) {
                createdBefore = server.statistics().get("created");
            }
            int busy = i % IO_THREADS;
            LoadThread phase = load.phase(busy);
            Thread thread = Thread.ofPlatform().name("bench").daemon().start(phase);
            Thread.sleep((long) (0.3 * setting.timeSeconds() * 1000));
            PoolServerProcess.Statistics during = server.statistics();
            thread.join();
            Throwable failure = phase.failure();
            if (failure != null) {
                throw new IOException("the load failed", failure);
            }
            if (i >= WARMUP_PHASES) {
                requests += phase.statistics().requests();
                seconds += phase.elapsedNs() / 1e9;
                int quiet = 1 - busy;
                medians.add(design + "/busy-alive", during.get("alive" + busy));
                medians.add(design + "/busy-pooled", during.get("pooled" + busy));
                medians.add(design + "/quiet-alive", during.get("alive" + quiet));
                medians.add(design + "/quiet-pooled", during.get("pooled" + quiet));
                medians.add(design + "/shared", during.get("shared"));
                medians.add(design + "/all", during.get("alive") + during.get("pooled") + during.get("shared"));
            }
        }
        medians.add(design + "/iops", requests / seconds);
        medians.add(design + "/created", server.statistics().get("created") - createdBefore);
    }

    private void report() {
        setting.report()
                .line(
                        "## Two IOThreads, 15 x 64 requests on one and 1 on the other, changing sides every %.1f s%n",
                        0.4 * setting.timeSeconds());
        setting.report()
                .line(
                        "| design | IOPS (least - most) | created in %d phases | busy thread: out / idle | quiet thread: out /"
                                + " idle | shared | all that exist |",
                        PHASES);
        setting.report().line("|---|---|---|---|---|---|---|");
        for (PoolDesign design : DESIGNS) {
            String key = design + "/";
            setting.report()
                    .line(
                            "| %s | %s (%s - %s) | %.0f | %.0f / %.0f | %.0f / %.0f | %.0f | %.0f |",
                            design.label(),
                            Machine.thousands(medians.of(key + "iops")),
                            Machine.thousands(medians.min(key + "iops")),
                            Machine.thousands(medians.max(key + "iops")),
                            medians.of(key + "created"),
                            medians.of(key + "busy-alive"),
                            medians.of(key + "busy-pooled"),
                            medians.of(key + "quiet-alive"),
                            medians.of(key + "quiet-pooled"),
                            medians.of(key + "shared"),
                            medians.of(key + "all"));
        }
        setting.report().line("");
    }
}

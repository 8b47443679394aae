// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** One load, for every back end alike. */
record ComparedCase(ComparedDisk disk, Workload workload, int blockBytes, int queues, int depth, boolean event) {
    private static final int SMALL = 4096;
    private static final int LARGE = 128 << 10;
    private static final int HUGE = 1 << 20;

    /** Cases that belong together, in the order of the report. */
    enum Group {
        NULL,
        TMPFS,
        TMPFS_LARGE,
        EXT4,
        EXT4_CACHED,
        IOTHREADS,
        IOTHREADS_TMPFS,
        QCOW2,
        QCOW2_EXT4,
        QCOW2_NEW;

        /** Whether vublk runs a second time, with two IOThreads. */
        boolean hasTwoIoThreads() {
            return this == IOTHREADS || this == IOTHREADS_TMPFS;
        }

        List<ComparedCase> cases() {
            List<ComparedCase> cases = new ArrayList<>();
            switch (this) {
                case NULL -> {
                    addDepths(cases, ComparedDisk.NULL, Workload.RANDREAD, SMALL, 1, 8, 16, 32, 64);
                    cases.add(new ComparedCase(ComparedDisk.NULL, Workload.RANDREAD, SMALL, 4, 16, false));
                    cases.add(new ComparedCase(ComparedDisk.NULL, Workload.RANDREAD, SMALL, 1, 32, true));
                }
                case TMPFS -> {
                    addDepths(cases, ComparedDisk.TMPFS, Workload.RANDREAD, SMALL, 1, 8, 32, 64);
                    addDepths(cases, ComparedDisk.TMPFS, Workload.RANDWRITE, SMALL, 1, 8, 32, 64);
                    cases.add(new ComparedCase(ComparedDisk.TMPFS, Workload.RANDRW, SMALL, 1, 32, false));
                    cases.add(new ComparedCase(ComparedDisk.TMPFS, Workload.RANDREAD, SMALL, 1, 32, true));
                    cases.add(new ComparedCase(ComparedDisk.TMPFS, Workload.RANDREAD, SMALL, 4, 16, false));
                }
                case TMPFS_LARGE -> {
                    addDepths(cases, ComparedDisk.TMPFS, Workload.RANDREAD, LARGE, 1, 8, 16, 32, 64);
                    addDepths(cases, ComparedDisk.TMPFS, Workload.RANDWRITE, LARGE, 1, 16);
                    addDepths(cases, ComparedDisk.TMPFS, Workload.READ, HUGE, 1, 8);
                    addDepths(cases, ComparedDisk.TMPFS, Workload.WRITE, HUGE, 1, 8);
                }
                case EXT4 -> {
                    addSmall(cases, ComparedDisk.EXT4);
                    addDepths(cases, ComparedDisk.EXT4, Workload.READ, HUGE, 8);
                }
                case EXT4_CACHED -> {
                    addSmall(cases, ComparedDisk.EXT4_CACHED);
                    addDepths(cases, ComparedDisk.EXT4_CACHED, Workload.READ, LARGE, 1, 16);
                    addDepths(cases, ComparedDisk.EXT4_CACHED, Workload.WRITE, LARGE, 1, 16);
                }
                case IOTHREADS -> addQueues(cases, ComparedDisk.NULL);
                case IOTHREADS_TMPFS -> addQueues(cases, ComparedDisk.TMPFS);
                case QCOW2 -> addSmall(cases, ComparedDisk.QCOW2);
                case QCOW2_EXT4 -> addSmall(cases, ComparedDisk.QCOW2_EXT4);
                case QCOW2_NEW -> {
                    addDepths(cases, ComparedDisk.QCOW2_NEW, Workload.RANDWRITE, SMALL, 1, 8, 32, 64);
                    addDepths(cases, ComparedDisk.QCOW2_NEW, Workload.WRITE, LARGE, 8);
                }
            }
            return cases;
        }
    }

    /** As many requests in flight on one queue and on four; with a client that takes a processor for itself, and one that sleeps. */
    private static void addQueues(List<ComparedCase> cases, ComparedDisk disk) {
        for (boolean event : new boolean[] {false, true}) {
            cases.add(new ComparedCase(disk, Workload.RANDREAD, SMALL, 1, 64, event));
            cases.add(new ComparedCase(disk, Workload.RANDREAD, SMALL, 4, 16, event));
        }
    }

    private static void addSmall(List<ComparedCase> cases, ComparedDisk disk) {
        addDepths(cases, disk, Workload.RANDREAD, SMALL, 1, 8, 32, 64);
        addDepths(cases, disk, Workload.RANDWRITE, SMALL, 1, 8, 32, 64);
    }

    private static void addDepths(
            List<ComparedCase> cases, ComparedDisk disk, Workload workload, int blockBytes, int... depths) {
        for (int depth : depths) {
            cases.add(new ComparedCase(disk, workload, blockBytes, 1, depth, false));
        }
    }

    /** For people, and as a key. */
    String label() {
        return String.format(
                Locale.ROOT,
                "%s %s%s depth %d%s",
                workload.name().toLowerCase(Locale.ROOT),
                blockBytes == HUGE ? "1m" : blockBytes / 1024 + "k",
                queues == 1 ? "" : ", " + queues + " queues,",
                depth,
                event ? ", sleeping client" : "");
    }

    BenchOptions.Builder options(ComparedServer server) {
        return BenchOptions.builder(server.socket.toString())
                .workload(workload)
                .blockBytes(blockBytes)
                .queues(queues)
                .ioDepth(depth)
                .event(event)
                .backendPid(server.pid());
    }
}

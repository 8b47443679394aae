// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import dev.vublk.emulator.DiskConfig;
import dev.vublk.emulator.EmulatorConfig;
import dev.vublk.emulator.iothread.FdMonitorKind;
import dev.vublk.emulator.iothread.IOThreadConfig;
import dev.vublk.emulator.iothread.PollSettings;
import dev.vublk.emulator.linux.CpuAffinity;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Option;
import picocli.CommandLine.TypeConversionException;

/** Threads of the process. */
final class RuntimeOptions {
    private static final long NS_PER_MS = 1_000_000;

    /** One second: longer would be no polling but spinning. */
    private static final long POLL_MAX_NS = 1_000_000_000;

    /** Far more than a disk has use for; a mistyped number should not take the machine's memory. Otherwise arbitrary. */
    private static final int WORKER_THREADS_LIMIT = 4096;

    @Option(
            names = "--iothreads",
            paramLabel = "N",
            description = "Threads that serve queues: queue i of a disk runs on thread i mod N (default 1).")
    private int ioThreads = 1;

    @Option(
            names = "--iothread-cpus",
            paramLabel = "LIST",
            converter = CpuListConverter.class,
            description = "Processors of an IOThread, such as 0-3,8; once for each IOThread, in order.")
    private List<CpuAffinity> ioThreadCpus = new ArrayList<>();

    @Option(
            names = "--worker-threads-min",
            paramLabel = "N",
            description = "Worker threads for blocking calls that are always there (default 0).")
    private int workerThreadsMin;

    @Option(names = "--worker-threads-max", paramLabel = "N", description = "Most worker threads at once (default 64).")
    private int workerThreadsMax = 64;

    @Option(
            names = "--fd-monitor",
            paramLabel = "KIND",
            converter = FdMonitorConverter.class,
            description = "What threads wait with: io_uring, epoll, poll, or auto: io_uring where permitted (default).")
    private FdMonitorKind fdMonitor = FdMonitorKind.AUTO;

    @Option(
            names = "--poll-max-ns",
            paramLabel = "N",
            description = "Longest time in nanoseconds that a thread looks for work before it sleeps; 0: never (default"
                    + " 32768).")
    private long pollMaxNs = PollSettings.DEFAULT.maxNs();

    @Option(
            names = "--poll-grow",
            paramLabel = "N",
            description = "Factor by which that time grows when it was too short; 0 means 2 (default 0).")
    private int pollGrow;

    @Option(
            names = "--poll-shrink",
            paramLabel = "N",
            description = "Divisor by which it shrinks when it was in vain; 0: at once to nothing (default 0).")
    private int pollShrink;

    @Option(
            names = "--poll-idle-ms",
            paramLabel = "N",
            description = "How long an idle queue is still looked at (default 7000).")
    private long pollIdleMs = PollSettings.DEFAULT.idleNs() / NS_PER_MS;

    @Option(
            names = "--coroutine-shrink-ms",
            paramLabel = "N",
            description = "How often coroutines that were not needed are given up (default 15000).")
    private long coroutineShrinkMs = IOThreadConfig.COROUTINE_SHRINK_MS_DEFAULT;

    /** Throws {@link TypeConversionException} with a line for the user. */
    EmulatorConfig configure(List<DiskConfig> disks) {
        if (ioThreads < 1 || ioThreads > 1024) {
            throw new TypeConversionException("--iothreads: " + ioThreads + " is not from 1 to 1024");
        }
        if (!ioThreadCpus.isEmpty() && ioThreadCpus.size() != ioThreads) {
            throw new TypeConversionException("--iothread-cpus: given " + ioThreadCpus.size() + " times for "
                    + ioThreads + " IOThreads; give it once for each");
        }
        if (!ioThreadCpus.isEmpty()) {
            checkProcessors();
        }
        if (workerThreadsMax < 1 || workerThreadsMax > WORKER_THREADS_LIMIT) {
            throw new TypeConversionException(
                    "--worker-threads-max: " + workerThreadsMax + " is not from 1 to " + WORKER_THREADS_LIMIT);
        }
        if (workerThreadsMin < 0 || workerThreadsMin > workerThreadsMax) {
            throw new TypeConversionException("--worker-threads-min: " + workerThreadsMin
                    + " is not from 0 to --worker-threads-max " + workerThreadsMax);
        }
        if (pollMaxNs < 0 || pollMaxNs > POLL_MAX_NS) {
            throw new TypeConversionException("--poll-max-ns: " + pollMaxNs + " is not from 0 to " + POLL_MAX_NS);
        }
        if (coroutineShrinkMs < 1) {
            throw new TypeConversionException("--coroutine-shrink-ms: " + coroutineShrinkMs + " is not at least 1");
        }
        if (pollGrow < 0 || pollShrink < 0 || pollIdleMs < 0) {
            throw new TypeConversionException("--poll-grow, --poll-shrink and --poll-idle-ms must not be negative");
        }
        return new EmulatorConfig(
                disks,
                ioThreads,
                ioThreadCpus,
                workerThreadsMin,
                workerThreadsMax,
                fdMonitor,
                new PollSettings(pollMaxNs, pollGrow, pollShrink, pollIdleMs * NS_PER_MS),
                coroutineShrinkMs);
    }

    private void checkProcessors() {
        CpuAffinity allowed = CpuAffinity.ofCallingThread();
        for (CpuAffinity cpus : ioThreadCpus) {
            if (!cpus.intersects(allowed)) {
                throw new TypeConversionException("--iothread-cpus: '" + cpus
                        + "' has none of the processors that this process may use: " + allowed);
            }
        }
    }

    /** {@code io_uring}, {@code epoll}, …. */
    static final class FdMonitorConverter implements ITypeConverter<FdMonitorKind> {
        @Override
        public FdMonitorKind convert(String value) {
            return DiskDefaults.oneOf(FdMonitorKind.class, value);
        }
    }
}

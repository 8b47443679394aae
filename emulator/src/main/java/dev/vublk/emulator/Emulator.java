// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator;

import dev.vublk.blockdev.BlockDrivers;
import dev.vublk.blockdev.BlockLimits;
import dev.vublk.emulator.coroutine.Coroutine;
import dev.vublk.emulator.coroutine.CoroutineSource;
import dev.vublk.emulator.coroutine.GlobalCoroutinePool;
import dev.vublk.emulator.iothread.AwakeLoops;
import dev.vublk.emulator.iothread.FdMonitorKind;
import dev.vublk.emulator.iothread.IOThread;
import dev.vublk.emulator.iothread.IOThreadConfig;
import dev.vublk.emulator.iothread.PollSettings;
import dev.vublk.emulator.linux.CpuAffinity;
import dev.vublk.emulator.worker.WorkerPool;
import dev.vublk.emulator.worker.WorkerPoolConfig;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;
import org.jspecify.annotations.Nullable;

/**
 * The whole process: IOThreads, worker pool, control loop and exports, started and stopped in order. Used by one thread.
 */
public final class Emulator implements AutoCloseable {
    private static final Logger LOG = LogManager.getLogger(Emulator.class);

    private final EmulatorConfig config;
    private final CoroutineSource.Maker coroutines;
    private final BlockDriverOpener driverOpener;
    private final WorkerPool workers;
    private final List<IOThread> ioThreads = new ArrayList<>();
    private final List<VhostUserBlkExport> exports = new ArrayList<>();
    private @Nullable IOThread controlLoop;

    public Emulator(EmulatorConfig config) {
        this(config, new GlobalCoroutinePool(), BlockDrivers::open);
    }

    /** With disks and coroutines that the caller provides: for tests and measurements. */
    public Emulator(EmulatorConfig config, CoroutineSource.Maker coroutines, BlockDriverOpener driverOpener) {
        this.config = config;
        this.coroutines = coroutines;
        this.driverOpener = driverOpener;
        workers = new WorkerPool(WorkerPoolConfig.DEFAULT
                .withName("vublk-worker")
                .withThreads(config.workerThreadsMin(), config.workerThreadsMax()));
    }

    /**
     * Opens every disk, binds every socket and begins to serve. When it throws, everything has been closed again.
     *
     * @throws IOException a disk or a socket cannot be had: one line for the user
     */
    public void start() throws IOException {
        try {
            Coroutine.warmUp();
            startThreads();
            for (DiskConfig disk : config.disks()) {
                exports.add(new VhostUserBlkExport(disk, driverOpener, startedControlLoop(), ioThreads));
            }
        } catch (IOException | RuntimeException e) {
            close();
            throw e;
        }
        // Only when all of them are there does anybody get served.
        exports.forEach(VhostUserBlkExport::serve);
    }

    private void startThreads() throws IOException {
        FdMonitorKind monitorKind = config.fdMonitor().resolve();
        // Nobody waits for the control loop: it never polls.
        controlLoop = startThread("vublk-control", null, monitorKind, PollSettings.OFF, new AwakeLoops());
        AwakeLoops awakeLoops = new AwakeLoops();
        for (int i = 0; i < config.ioThreads(); i++) {
            CpuAffinity cpus = config.ioThreadCpus().isEmpty()
                    ? null
                    : config.ioThreadCpus().get(i);
            ioThreads.add(startThread("vublk-iothread-" + i, cpus, monitorKind, config.polling(), awakeLoops));
        }
    }

    /** Throws {@link IOException} when the machine has not what the thread needs. */
    private IOThread startThread(
            String name,
            @Nullable CpuAffinity cpus,
            FdMonitorKind monitorKind,
            PollSettings polling,
            AwakeLoops awakeLoops)
            throws IOException {
        try {
            IOThread thread = new IOThread(
                    new IOThreadConfig(name, cpus, monitorKind, polling, config.coroutineShrinkMs()),
                    coroutines,
                    workers,
                    awakeLoops);
            thread.start();
            return thread;
        } catch (IllegalStateException e) {
            throw new IOException(e.getMessage(), e);
        }
    }

    private IOThread startedControlLoop() {
        IOThread started = controlLoop;
        if (started == null) {
            throw new IllegalStateException("not started");
        }
        return started;
    }

    /** What each disk can do now, in the order of the configuration; after {@link #start}. */
    public List<BlockLimits> diskLimits() {
        return exports.stream().map(VhostUserBlkExport::limits).toList();
    }

    /**
     * Looks again how large every disk is, and tells the guests of those that have grown. One that has shrunk stays as it was
     * for them; that is logged. Blocking.
     */
    public void refreshSizes() {
        for (VhostUserBlkExport export : exports) {
            try {
                export.refreshSize();
            } catch (IOException e) {
                LOG.warn(e.getMessage());
            }
        }
    }

    /**
     * Makes a disk larger and tells its guests. Blocking. Any thread but the loops', between {@link #start} and {@link #close}.
     *
     * @param disk its place in the configuration
     * @param sizeBytes at least what it has, and a multiple of its logical block
     * @throws IOException it cannot be made larger: one line for the user
     */
    public void growDisk(int disk, long sizeBytes) throws IOException {
        exports.get(disk).grow(sizeBytes);
    }

    /**
     * Makes a disk's present state readable while guests go on; its driver must be a {@code CopyBeforeWriteDriver}. Blocking. Any
     * thread but the loops', between {@link #start} and {@link #close}.
     *
     * @param disk its place in the configuration
     * @param directory where what guests overwrite is kept
     * @param storeBytesMax how much of it: a snapshot that needs more fails, and never a guest
     * @throws IOException it cannot be had: one line for the user
     */
    public ExportSnapshot takeSnapshot(int disk, Path directory, long storeBytesMax) throws IOException {
        return exports.get(disk).takeSnapshot(directory, storeBytesMax);
    }

    /** What every loop's coroutines are doing, and the worker pool's counters: for diagnosis. Any thread. */
    public String dump() {
        StringBuilder text = new StringBuilder();
        List<IOThread> loops = new ArrayList<>(ioThreads);
        loops.add(startedControlLoop());
        for (IOThread loop : loops) {
            text.append(loop.name()).append(": ").append(dump(loop)).append('\n');
        }
        return text.append(workers).append('\n').toString();
    }

    private static String dump(IOThread loop) {
        CompletableFuture<String> dump = new CompletableFuture<>();
        loop.execute(() -> dump.complete(loop.dumpCoroutines()));
        return dump.completeOnTimeout("does not answer: its thread is blocked or busy\n", 2, TimeUnit.SECONDS)
                        .join()
                + loop.slowPasses() + " passes took longer than 1 ms";
    }

    /**
     * Completes when no export accepts front ends any more (inherited connections have ended, or {@link #close});
     * exceptionally when a listener failed.
     */
    public CompletableFuture<Void> served() {
        return CompletableFuture.allOf(
                exports.stream().map(VhostUserBlkExport::served).toArray(CompletableFuture[]::new));
    }

    /** Stops in the order of the data: sessions and their queues, disks, loops, workers. */
    @Override
    public void close() {
        exports.forEach(VhostUserBlkExport::close);
        exports.clear();
        ioThreads.forEach(IOThread::close);
        ioThreads.clear();
        if (controlLoop != null) {
            controlLoop.close();
            controlLoop = null;
        }
        workers.close();
        LOG.debug("stopped");
    }
}

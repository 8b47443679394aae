// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.BlockDriver;
import dev.vublk.emulator.coroutine.GlobalCoroutinePool;
import dev.vublk.emulator.iothread.FdMonitorKind;
import dev.vublk.emulator.iothread.IOThread;
import dev.vublk.emulator.iothread.IOThreadConfig;
import dev.vublk.emulator.iothread.LoopControlContext;
import dev.vublk.emulator.iothread.PollSettings;
import dev.vublk.emulator.virtioblk.DiskCapacity;
import dev.vublk.emulator.virtioblk.VirtioBlkDevice;
import dev.vublk.emulator.worker.WorkerPool;
import dev.vublk.emulator.worker.WorkerPoolConfig;
import dev.vublk.vhostuser.VhostUserDevice;
import dev.vublk.vhostuser.session.OptionalFeature;
import dev.vublk.vhostuser.session.SessionOptions;
import dev.vublk.vhostuser.session.VhostUserServer;
import dev.vublk.vhostuser.socket.ListenerOptions;
import dev.vublk.vhostuser.virtqueue.InflightPoint;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * A disk on a socket whose queues die where a test says: at an {@link InflightPoint} a queue throws, is broken, and touches
 * neither ring nor region any more, as if its process had been killed there.
 */
public final class MortalBackend implements AutoCloseable {
    /** The end of a queue, without a page of frames. */
    public static final class Death extends RuntimeException {
        private static final long serialVersionUID = 1L;

        private Death(InflightPoint point) {
            super("died on purpose at " + point + ", expected in the log", null, false, false);
        }
    }

    /** Calls that run at a time; any small number. */
    public static final int WORKERS_MAX = 8;

    private final WorkerPool workers =
            new WorkerPool(WorkerPoolConfig.DEFAULT.withName("vublk-worker").withThreads(0, WORKERS_MAX));
    private final IOThread controlLoop;
    private final IOThread ioThread;
    private final BlockDriver disk;
    private final BlockChannel channel;
    private final VhostUserServer server;
    private final String socketPath;
    private final CompletableFuture<Void> served = new CompletableFuture<>();
    private final AtomicInteger visitsToDeath = new AtomicInteger();
    private volatile @Nullable InflightPoint deadly;
    private volatile Runnable duringStop = () -> {};

    public MortalBackend(Path directory, BlockDriver disk) throws IOException {
        this.disk = disk;
        GlobalCoroutinePool coroutines = new GlobalCoroutinePool();
        FdMonitorKind monitor = FdMonitorKind.AUTO.resolve();
        controlLoop = new IOThread(new IOThreadConfig("vublk-control", monitor, PollSettings.OFF), coroutines, workers);
        ioThread = new IOThread(
                new IOThreadConfig("vublk-iothread-0", monitor, PollSettings.DEFAULT), coroutines, workers);
        controlLoop.start();
        ioThread.start();
        channel = disk.openChannel(ioThread.ioContext());
        socketPath = directory.resolve("mortal.sock").toString();
        server = new VhostUserServer(
                ListenerOptions.atPath(socketPath),
                SessionOptions.DEFAULT.with(OptionalFeature.GET_VRING_BASE_INFLIGHT),
                new LoopControlContext(controlLoop),
                this::newDevice);
        server.bind();
        controlLoop.spawn(() -> {
            server.run();
            served.complete(null);
        });
    }

    public String socketPath() {
        return socketPath;
    }

    /** The next queue to come to {@code point} for the {@code visits}-th time dies there; null: none. */
    public void dieAt(@Nullable InflightPoint point, int visits) {
        visitsToDeath.set(visits);
        deadly = point;
    }

    /** What happens on the IOThread when a queue has just been told to stop. */
    public void duringStop(Runnable action) {
        duringStop = action;
    }

    /** The control loop runs the task when it waits for the stop, which it has handed over before. */
    private void beforeStop() {
        controlLoop.execute(() -> ioThread.execute(duringStop));
    }

    private void reached(InflightPoint point) {
        if (point == deadly && visitsToDeath.decrementAndGet() == 0) {
            throw new Death(point);
        }
    }

    private VhostUserDevice newDevice() {
        return new MortalDevice(
                new VirtioBlkDevice(
                        "mortal",
                        controlLoop,
                        List.of(ioThread),
                        List.of(channel),
                        disk.limits(),
                        new DiskCapacity(disk.limits().sizeBytes()),
                        new UndisputedDisk(),
                        EmulatorUnderTest.SETTINGS),
                this::reached,
                this::beforeStop);
    }

    @Override
    public void close() {
        server.close();
        served.join();
        channel.close();
        ioThread.close();
        controlLoop.close();
        workers.close();
    }
}

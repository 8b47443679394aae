// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.fuzz;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.DiskLifetime;
import dev.vublk.emulator.coroutine.GlobalCoroutinePool;
import dev.vublk.emulator.iothread.LoopControlContext;
import dev.vublk.emulator.iothread.PollSettings;
import dev.vublk.emulator.iothread.SimulatedLoop;
import dev.vublk.emulator.virtioblk.DiskCapacity;
import dev.vublk.emulator.virtioblk.DiskPossession;
import dev.vublk.emulator.virtioblk.VirtioBlkDevice;
import dev.vublk.emulator.virtioblk.VirtioBlkSettings;
import dev.vublk.vhostuser.session.OptionalFeature;
import dev.vublk.vhostuser.session.SessionOptions;
import dev.vublk.vhostuser.session.VhostUserServer;
import dev.vublk.vhostuser.socket.ListenerOptions;
import java.io.IOException;
import java.util.List;
import java.util.Random;
import org.jspecify.annotations.Nullable;

/** The product's session, device and queues on one thread, a pass at a time, over a disk that the input drives. */
final class FuzzedBackEnd {
    static final int QUEUES = 3;
    static final int QUEUE_SIZE_MAX = 64;
    static final int RANGES_MAX = 4;

    /** An idle loop is idle after a few dozen passes; each wait of a session takes two or three. */
    private static final int PASSES_MAX = 20_000;

    private static final DiskPossession POSSESSION = new DiskPossession() {
        @Override
        public void take() {}

        @Override
        public void handOver() {}

        @Override
        public void leave() {}
    };

    private final SimulatedLoop controlLoop;
    private final SimulatedLoop ioLoop;
    private final FuzzDisk disk;
    private final BlockDriver driver;
    private final BlockChannel channel;
    private final VhostUserServer server;
    private boolean isServing = true;
    private @Nullable Throwable failure;
    private long passes;

    FuzzedBackEnd(BlockDriver driver, boolean polls, int coroutinesMax, int socketFd) {
        this.driver = driver;
        GlobalCoroutinePool coroutines = new GlobalCoroutinePool(4, coroutinesMax);
        PollSettings polling = polls ? new PollSettings(32_768, 0, 0, 200_000) : PollSettings.OFF;
        Random random = new Random(0);
        controlLoop = new SimulatedLoop("control", random, () -> passes * 1000, PollSettings.OFF, coroutines, () -> {});
        ioLoop = new SimulatedLoop("io", random, () -> passes * 1000, polling, coroutines, () -> {});
        disk = new FuzzDisk(ioLoop);
        ioLoop.ioContext(disk);
        channel = driver.openChannel(disk);
        VirtioBlkSettings settings = new VirtioBlkSettings(
                "fuzz",
                QUEUES,
                QUEUE_SIZE_MAX,
                true,
                16,
                true,
                true,
                RANGES_MAX,
                true,
                null,
                new DiskLifetime(1, 2, 3));
        DiskCapacity capacity = new DiskCapacity(driver.limits().sizeBytes());
        server = new VhostUserServer(
                ListenerOptions.inherited(socketFd),
                SessionOptions.DEFAULT
                        .without(OptionalFeature.POSTCOPY) // It has threads of its own.
                        .with(
                                OptionalFeature.IN_ORDER,
                                OptionalFeature.ORDER_PLATFORM,
                                OptionalFeature.IN_BAND_NOTIFICATIONS,
                                OptionalFeature.GET_VRING_BASE_INFLIGHT),
                new LoopControlContext(controlLoop),
                () -> new VirtioBlkDevice(
                        "disk",
                        controlLoop,
                        List.of(ioLoop),
                        List.of(channel),
                        driver.limits(),
                        capacity,
                        POSSESSION,
                        settings));
        serve();
    }

    private void serve() {
        try {
            server.bind();
        } catch (IOException e) {
            throw new AssertionError(e);
        }
        controlLoop.spawn(() -> {
            try {
                server.run();
            } catch (Throwable t) {
                failure = t;
            } finally {
                isServing = false;
            }
        });
    }

    FuzzDisk disk() {
        return disk;
    }

    boolean isServing() {
        return isServing;
    }

    /** Lets both loops run as long as they have something to do, but for {@code most} passes. */
    boolean settle(int most) {
        for (int i = 0; i < most; i++) {
            passes++;
            boolean ran = controlLoop.runPass();
            ran |= ioLoop.runPass();
            if (!ran) {
                return true;
            }
        }
        return false;
    }

    /** After the front end has left: the session ends, and nothing is left of it. */
    void awaitEnd() {
        for (int i = 0; isServing; i++) {
            if (i == PASSES_MAX) {
                throw new AssertionError("the session does not end");
            }
            disk.completeAll();
            settle(1);
        }
        // What is left: coroutines that go back to their pool.
        if (!settle(PASSES_MAX)) {
            throw new AssertionError("a loop is never idle");
        }
        if (failure != null) {
            throw new AssertionError("the session failed", failure);
        }
        if (controlLoop.failedPasses() + ioLoop.failedPasses() > 0) {
            throw new AssertionError("a pass failed");
        }
        if (controlLoop.busyCoroutines() + ioLoop.busyCoroutines() > 0) {
            throw new AssertionError("coroutines are left");
        }
        AccessGuard.INSTANCE.checkAllReturned();
    }

    void close() {
        channel.close();
        ioLoop.close();
        controlLoop.close();
        driver.close();
    }
}

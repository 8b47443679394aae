// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.sim;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.BlockDriver;
import dev.vublk.emulator.EmulatorUnderTest;
import dev.vublk.emulator.MortalDevice;
import dev.vublk.emulator.UndisputedDisk;
import dev.vublk.emulator.coroutine.GlobalCoroutinePool;
import dev.vublk.emulator.iothread.LoopControlContext;
import dev.vublk.emulator.iothread.PollSettings;
import dev.vublk.emulator.iothread.SimulatedLoop;
import dev.vublk.emulator.virtioblk.DiskCapacity;
import dev.vublk.emulator.virtioblk.VirtioBlkDevice;
import dev.vublk.vhostuser.VhostUserDevice;
import dev.vublk.vhostuser.session.OptionalFeature;
import dev.vublk.vhostuser.session.SessionOptions;
import dev.vublk.vhostuser.session.VhostUserServer;
import dev.vublk.vhostuser.socket.ListenerOptions;
import dev.vublk.vhostuser.virtqueue.InflightPoint;
import java.io.IOException;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** One life of the process: its loops, its opened disk, and the session that it serves. All but the loops is real. */
final class SimulatedBackEnd {
    /** Guests choose. */
    private static final SessionOptions OPTIONS = SessionOptions.DEFAULT
            .without(OptionalFeature.POSTCOPY) // It has threads of its own.
            .with(OptionalFeature.IN_ORDER, OptionalFeature.GET_VRING_BASE_INFLIGHT, OptionalFeature.ACCESS_PLATFORM);

    private static final int IMMORTAL = -1;

    /** The end of a queue whose process has died, without a page of frames. */
    private static final class Death extends RuntimeException {
        private static final long serialVersionUID = 1L;

        private Death() {
            super("the process is dead", null, false, false);
        }
    }

    private final SimulatedWorld world;
    private final SimulatedDisk disk;
    private final BlockDriver driver;
    private final SimulatedLoop controlLoop;
    private final List<SimulatedLoop> ioLoops = new ArrayList<>();
    private final List<SimulatedIoContext> contexts = new ArrayList<>();
    private final List<BlockChannel> channels = new ArrayList<>();
    private final DiskCapacity capacity;
    private @Nullable VhostUserServer server;
    private boolean isServing;

    /** Steps of the in-flight algorithm that are left to this process; {@link #IMMORTAL}: any number. */
    private int stepsToDeath = IMMORTAL;

    private boolean isDead;

    /** The queues that this process has ever looked at: an IOMMU's guest has them wait. */
    private final BitSet begun = new BitSet();

    SimulatedBackEnd(
            SimulatedWorld world,
            SimulatedDisk disk,
            BlockDriver driver,
            int ioLoopCount,
            boolean polls,
            int coroutinesMax,
            int callsMax) {
        this.world = world;
        this.disk = disk;
        this.driver = driver;
        GlobalCoroutinePool coroutines = new GlobalCoroutinePool(4, coroutinesMax);
        PollSettings polling = polls ? new PollSettings(32_768, 0, 0, 200_000) : PollSettings.OFF;
        controlLoop = new SimulatedLoop("control", world.random, world::nowNs, PollSettings.OFF, coroutines, () -> {});
        for (int i = 0; i < ioLoopCount; i++) {
            SimulatedLoop loop =
                    new SimulatedLoop("io-" + i, world.random, world::nowNs, polling, coroutines, world::letGuestAct);
            SimulatedIoContext context = new SimulatedIoContext(world, loop, disk, callsMax);
            loop.ioContext(context);
            ioLoops.add(loop);
            contexts.add(context);
            channels.add(driver.openChannel(context));
        }
        capacity = new DiskCapacity(driver.limits().sizeBytes());
        List<SimulatedLoop> all = new ArrayList<>(ioLoops);
        all.add(controlLoop);
        world.loops(all);
    }

    /** Serves the front end at the other end of a socket until it leaves, as an inherited connection is served. */
    void serve(int socketFd) throws IOException {
        VhostUserServer newServer = new VhostUserServer(
                ListenerOptions.inherited(socketFd), OPTIONS, new LoopControlContext(controlLoop), this::newDevice);
        server = newServer;
        newServer.bind();
        isServing = true;
        controlLoop.spawn(() -> {
            try {
                newServer.run();
            } catch (Throwable t) {
                throw world.fail("the session failed: " + t);
            } finally {
                isServing = false;
            }
        });
    }

    private VhostUserDevice newDevice() {
        return new MortalDevice(
                new VirtioBlkDevice(
                        "disk",
                        controlLoop,
                        ioLoops,
                        channels,
                        driver.limits(),
                        capacity,
                        new UndisputedDisk(),
                        EmulatorUnderTest.SETTINGS),
                this::reached,
                () -> {},
                begun::set);
    }

    /** A dead process touches neither ring nor region: whichever queue is about to do so ends. */
    private void reached(InflightPoint point) {
        if (stepsToDeath > 0 && --stepsToDeath == 0 && !isDead) {
            if (world.isTracing()) {
                world.trace("killed at " + point);
            }
            die();
        }
        if (isDead) {
            throw new Death();
        }
    }

    /** Has the process die in the middle of something: at the so-manieth step of the in-flight algorithm from now on. */
    void dieAfter(int steps) {
        stepsToDeath = steps;
    }

    void stayAlive() {
        stepsToDeath = IMMORTAL;
    }

    boolean isDead() {
        return isDead;
    }

    /** From now on nothing that this process does reaches the disk, nor a ring whose requests are tracked. */
    void die() {
        isDead = true;
        cutOff();
    }

    boolean hasBegun(int queue) {
        return begun.get(queue);
    }

    boolean startsWriteback() {
        return driver.limits().initialWriteback();
    }

    boolean isServing() {
        return isServing;
    }

    /** Lets nothing that this process does from now on reach the disk. */
    void cutOff() {
        contexts.forEach(SimulatedIoContext::cutOff);
        disk.cutOff();
    }

    /** Ends the process in an orderly way, and checks that it leaves nothing behind. */
    void close() {
        if (server != null) {
            server.close();
            world.await("the session ends", () -> !isServing);
        }
        world.await(
                "the coroutines end",
                () -> ioLoops.stream().allMatch(loop -> loop.busyCoroutines() == 0)
                        && controlLoop.busyCoroutines() == 0);
        if (disk.inFlight() > 0) {
            throw world.fail(disk.inFlight() + " calls of a process that has ended");
        }
        channels.forEach(BlockChannel::close);
        ioLoops.forEach(SimulatedLoop::close);
        controlLoop.close();
    }
}

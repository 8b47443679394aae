// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.sim;

import dev.vublk.blockdev.BlockOptions.CacheMode;
import dev.vublk.blockdev.file.SimulatedFileDriver;
import dev.vublk.emulator.sim.SimulatedDisk.Abilities;
import dev.vublk.emulator.sim.SimulatedDisk.Faults;
import java.io.IOException;
import java.util.List;

/** One seed: a back end, a guest and a disk that live through a while of random events. One thread. */
final class Simulation implements AutoCloseable {
    static final int QUEUES_MAX = 4;

    private final SimulatedWorld world;
    private final DiskModel model;
    private final SimulatedDisk disk;
    private final SimulatedGuest guest;
    private final SimulatedFrontend frontend;
    private final CacheMode cacheMode;
    private final int sectors;
    private final int directBytes;
    private final int memoryBytes;
    private final int ioLoops;
    private final boolean polls;
    private final int coroutinesMax;
    private final int callsMax;
    private SimulatedBackEnd backEnd;

    /** @param memory the guest's; cleared first */
    Simulation(long seed, boolean tracing, SimulatedMemory memory) {
        world = new SimulatedWorld(seed, tracing);
        sectors = 8 * world.between(4, 32);
        cacheMode = oneOf(CacheMode.WRITEBACK, CacheMode.NONE, CacheMode.WRITETHROUGH, CacheMode.DIRECTSYNC);
        directBytes = oneOf(512, 1024, 4096);
        memoryBytes = oneOf(4, 512);
        ioLoops = world.between(1, 3);
        polls = world.chance(50);
        coroutinesMax = oneOf(1, 20, 1000);
        callsMax = seed % 3 == 0 ? 2 : 1000;
        Faults faults = world.chance(50)
                ? Faults.NONE
                : new Faults(
                        world.chance(50) ? world.random.nextInt(30) : 0,
                        world.chance(30) ? world.random.nextInt(300) : 0,
                        world.random.nextInt(100),
                        world.random.nextInt(200));
        Abilities abilities = new Abilities(world.chance(70), world.chance(70), world.chance(70));
        model = new DiskModel(world, sectors);
        int unitBytes = cacheMode.direct() ? Math.max(directBytes, memoryBytes) : SectorData.BYTES;
        disk = new SimulatedDisk(world, model, sectors, abilities, faults, unitBytes / SectorData.BYTES);
        guest = new SimulatedGuest(world, model, disk, memory, sectors, world.between(1, QUEUES_MAX));
        frontend = guest.frontend();
        backEnd = newBackEnd();
        world.guest(guest::act);
        world.frontend(frontend::act);
    }

    @SafeVarargs
    private <T> T oneOf(T... choices) {
        return choices[world.random.nextInt(choices.length)];
    }

    private SimulatedBackEnd newBackEnd() {
        return new SimulatedBackEnd(
                world,
                disk,
                SimulatedFileDriver.open((long) sectors * SectorData.BYTES, cacheMode, directBytes, memoryBytes),
                ioLoops,
                polls,
                coroutinesMax,
                callsMax);
    }

    /** Throws {@link SimulationFailure} when something happens that must not. Returns how many requests ended. */
    long run() {
        try {
            connect();
            for (int left = world.between(2, 8); left > 0; left--) {
                world.takeSteps(world.random.nextInt(400));
                somethingHappens();
            }
            world.takeSteps(world.random.nextInt(200));
            guest.drain();
            model.checkContent(disk.content());
            guest.checkNoErrorSignal();
            frontend.checkAtEnd();
            frontend.disconnect();
            world.await("the session ends", () -> !backEnd.isServing());
            backEnd.close();
            return guest.completed();
        } catch (IOException e) {
            throw new SimulationFailure("the front end: " + e.getMessage(), e);
        }
    }

    private void connect() throws IOException {
        frontend.connect(backEnd);
        guest.makesRequests(true);
    }

    private void somethingHappens() throws IOException {
        if (frontend.hasIommu() && world.chance(50)) {
            trace("pages taken back");
            frontend.invalidate();
        } else if (frontend.log() != null && world.chance(60)) {
            trace("migration");
            frontend.migrate();
        } else {
            somethingElseHappens();
        }
    }

    private void somethingElseHappens() throws IOException {
        int choice = world.random.nextInt(100);
        if (choice < 25) {
            boolean moves = frontend.leavesUnfinished() && world.chance(50);
            trace(moves ? "move" : "stop and start");
            if (moves) {
                move();
            } else {
                frontend.stopAndStart();
            }
        } else if (choice < 35) {
            trace("disable and enable");
            frontend.disableAndEnable();
        } else if (choice < 45) {
            trace("new call descriptor");
            frontend.replaceCallFd();
        } else if (choice < 52) {
            trace("new memory table");
            frontend.replaceMemory();
        } else if (choice < 62) {
            trace("write cache");
            frontend.changeWriteCache();
        } else if (choice < 75) {
            trace("connection lost");
            frontend.disconnect();
            world.await("the session ends", () -> !backEnd.isServing());
            connect();
        } else if (choice < 80) {
            trace("quiet");
            guest.drain();
            model.checkContent(disk.content());
            guest.makesRequests(true);
        } else if (frontend.tracksInflight() && world.chance(60)) {
            trace("process killed");
            killProcess();
        } else {
            boolean powerCut = world.chance(60);
            trace(powerCut ? "power cut" : "killed");
            kill(powerCut);
        }
    }

    /** Process and guest end in the middle of everything; both start again. */
    private void kill(boolean powerCut) throws IOException {
        guest.checkNoErrorSignal();
        world.guest(() -> {});
        backEnd.cutOff();
        frontend.disconnect();
        backEnd.close();
        guest.reset();
        if (powerCut) {
            disk.cutPower();
            model.onPowerCut(disk.content());
        } else {
            model.checkContent(disk.content());
        }
        backEnd = newBackEnd();
        guest.onNewProcess();
        world.guest(guest::act);
        connect();
    }

    /** The guest goes on with another process, which finds in the in-flight region what the first one left there. */
    private void move() throws IOException {
        guest.checkNoErrorSignal();
        frontend.stopAll();
        frontend.disconnect();
        world.await("the session ends", () -> !backEnd.isServing());
        backEnd.close();
        backEnd = newBackEnd();
        guest.onNewProcess();
        connect();
    }

    /** The process ends in the middle of anything; the guest runs on, and so does the next process with what was in flight. */
    private void killProcess() throws IOException {
        guest.checkNoErrorSignal();
        frontend.onDying();
        if (world.chance(80)) {
            backEnd.dieAfter(world.between(1, 60));
            for (int left = 300; left > 0 && !backEnd.isDead(); left--) {
                world.takeStep();
            }
        }
        do {
            bury();
            backEnd = newBackEnd();
            guest.onNewProcess();
            world.guest(guest::act);
            if (world.chance(30)) {
                backEnd.dieAfter(world.between(1, 40));
            }
            try {
                connect();
            } catch (IOException e) {
                if (!backEnd.isDead()) {
                    throw e;
                }
            }
        } while (backEnd.isDead());
        backEnd.stayAlive();
    }

    /** Lets a process that is to have died at this moment give back what a real one's end would. */
    private void bury() {
        backEnd.die();
        world.guest(() -> {});
        frontend.disconnect();
        backEnd.close();
        frontend.onKilled();
    }

    private void trace(String what) {
        if (world.isTracing()) {
            world.trace("---- " + what);
        }
    }

    /** The last things that happened, when tracing. */
    List<String> traceLines() {
        return world.trace();
    }

    @Override
    public void close() {
        guest.close();
    }
}

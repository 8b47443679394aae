// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.sim;

import dev.vublk.vhostuser.linux.EventFd;
import dev.vublk.vhostuser.virtqueue.VirtioFeature;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A virtual machine: its memory, the queues of its driver, and its monitor. Makes random requests, tells the model of them, and
 * checks every answer.
 */
final class SimulatedGuest implements AutoCloseable {
    static final long VIRTIO_BLK_F_FLUSH = 1L << 9;
    static final long VIRTIO_BLK_F_CONFIG_WCE = 1L << 11;
    private static final long VIRTIO_BLK_F_MQ = 1L << 12;
    private static final long VIRTIO_BLK_F_DISCARD = 1L << 13;
    private static final long VIRTIO_BLK_F_WRITE_ZEROES = 1L << 14;

    /** Sectors that most requests fall on, so that many overlap. */
    private static final int HOT_SECTORS = 24;

    private final SimulatedWorld world;
    private final DiskModel model;
    private final SimulatedDisk disk;
    private final SimulatedMemory memory;
    private final int sectors;
    private final long features;
    private final List<SimulatedQueue> queues = new ArrayList<>();
    private final SimulatedFrontend frontend;
    private boolean makesRequests;
    private long stampCount;
    private long completed;

    /** Failed syncs before the present process was started: it does not know of them. */
    private long syncErrorsBefore;

    SimulatedGuest(
            SimulatedWorld world,
            DiskModel model,
            SimulatedDisk disk,
            SimulatedMemory memory,
            int sectors,
            int queueCount) {
        this.world = world;
        this.model = model;
        this.disk = disk;
        this.memory = memory;
        this.sectors = sectors;
        long wanted = VirtioFeature.VIRTIO_F_VERSION_1 | VirtioFeature.VHOST_USER_F_PROTOCOL_FEATURES | VIRTIO_BLK_F_MQ;
        wanted |= maybe(VirtioFeature.VIRTIO_F_EVENT_IDX, 60) | maybe(VirtioFeature.VIRTIO_F_INDIRECT_DESC, 60);
        wanted |= maybe(VIRTIO_BLK_F_FLUSH, 85) | maybe(VIRTIO_BLK_F_CONFIG_WCE, 60);
        wanted |= maybe(VIRTIO_BLK_F_DISCARD, 60) | maybe(VIRTIO_BLK_F_WRITE_ZEROES, 60);
        wanted |= maybe(VirtioFeature.VIRTIO_F_IN_ORDER, 25) | maybe(VirtioFeature.VIRTIO_F_RING_PACKED, 50);
        boolean translates = SimulatedFrontend.translates(world.seed());
        features = translates ? wanted | VirtioFeature.VIRTIO_F_ACCESS_PLATFORM : wanted;
        memory.reset(translates);
        boolean tracksInflight = world.chance(60);
        for (int i = 0; i < queueCount; i++) {
            int size = Math.min(SimulatedQueue.SIZE_MAX, 8 << world.random.nextInt(4));
            queues.add(new SimulatedQueue(
                    this, world, i, memory.driverAddress() + i * SimulatedQueue.BYTES, size, features));
        }
        frontend = new SimulatedFrontend(world, disk, memory, features, queues, tracksInflight);
        frontend.forgetRings();
    }

    private long maybe(long feature, int percent) {
        return world.chance(percent) ? feature : 0;
    }

    private boolean has(long feature) {
        return (features & feature) != 0;
    }

    boolean isInOrder() {
        return has(VirtioFeature.VIRTIO_F_IN_ORDER);
    }

    /** Its monitor. */
    SimulatedFrontend frontend() {
        return frontend;
    }

    boolean hasIommu() {
        return has(VirtioFeature.VIRTIO_F_ACCESS_PLATFORM);
    }

    boolean hasPackedRings() {
        return has(VirtioFeature.VIRTIO_F_RING_PACKED);
    }

    /** What its monitor logs to, when that migrates it now and then. */
    @Nullable
    SimulatedLog log() {
        return frontend.log();
    }

    boolean hasIndirect() {
        return has(VirtioFeature.VIRTIO_F_INDIRECT_DESC);
    }

    /** What the device is told of an address of the driver's. */
    long deviceAddress(long driverAddress) {
        return memory.deviceAddress(driverAddress);
    }

    /** Requests that ended so far. */
    long completed() {
        return completed;
    }

    // ---- as a step of the world

    void act() {
        queues.get(world.random.nextInt(queues.size())).act(makesRequests);
    }

    void makesRequests(boolean makes) {
        makesRequests = makes;
    }

    /** Lets everything that was asked for end. */
    void drain() {
        makesRequests = false;
        world.await("every request ends", () -> outstanding() == 0);
    }

    private int outstanding() {
        int sum = 0;
        for (SimulatedQueue queue : queues) {
            sum += queue.outstanding();
        }
        return sum;
    }

    SimulatedRequest newRequest() {
        int choice = world.random.nextInt(100);
        if (choice < 38) {
            return newData(SimulatedRequest.IN, 0);
        } else if (choice < 76) {
            return newData(SimulatedRequest.OUT, ++stampCount);
        } else if (choice < 86 && has(VIRTIO_BLK_F_FLUSH)) {
            return new SimulatedRequest(SimulatedRequest.FLUSH, 0, 0, List.of(), 0);
        } else if (choice < 91 && has(VIRTIO_BLK_F_DISCARD)) {
            return newRanges(SimulatedRequest.DISCARD);
        } else if (choice < 97 && has(VIRTIO_BLK_F_WRITE_ZEROES)) {
            return newRanges(SimulatedRequest.WRITE_ZEROES);
        }
        return new SimulatedRequest(SimulatedRequest.GET_ID, 0, 0, List.of(), 0);
    }

    private SimulatedRequest newData(int type, long stamp) {
        int[] range = newRange();
        return new SimulatedRequest(type, range[0], range[1], List.of(range), stamp);
    }

    private SimulatedRequest newRanges(int type) {
        List<int[]> ranges = new ArrayList<>();
        for (int left = world.between(1, SimulatedQueue.rangesMax()); left > 0; left--) {
            ranges.add(newRange());
        }
        return new SimulatedRequest(type, 0, 0, ranges, SectorData.ZEROES);
    }

    private int[] newRange() {
        int count = world.chance(60) ? world.between(1, 3) : world.between(1, SimulatedQueue.dataSectorsMax());
        int space = world.chance(70) ? Math.min(sectors, HOT_SECTORS) : sectors;
        return new int[] {world.random.nextInt(space - count + 1), count};
    }

    /** The device may see the request from now on. */
    void begin(SimulatedRequest request) {
        request.begunAt = world.step();
        request.errorsBefore = disk.errorCount();
        request.syncErrorsBefore = syncErrorsBefore;
        if (request.isRefused) {
            return; // The model does not know it: it must have no effect.
        }
        switch (request.type) {
            case SimulatedRequest.IN -> request.read = model.beginRead(request.first, request.count);
            case SimulatedRequest.OUT, SimulatedRequest.WRITE_ZEROES ->
                request.version = model.beginWrite(request.stamp, true, request.ranges);
            case SimulatedRequest.DISCARD -> request.version = model.beginWrite(request.stamp, false, request.ranges);
            default -> {}
        }
        if (world.isTracing()) {
            world.trace("guest: " + request);
        }
    }

    /** A request whose end nobody will see: it may have had any effect, but has none from now on. */
    void abandon(SimulatedRequest request) {
        if (request.version != null) {
            model.endWrite(request.version, false, false);
        }
        if (request.read != null) {
            model.abandonRead(request.read);
        }
    }

    /** The device returned {@code request} and this is what lies where it was to write: the answer, then the status. */
    void complete(SimulatedQueue queue, SimulatedRequest request, byte[] written, int usedBytes) {
        completed++;
        int answerBytes = request.answerBytes();
        int status = written[answerBytes] & 0xff;
        if (world.isTracing()) {
            world.trace("guest: " + queue + ": " + request + " ended with " + status);
        }
        if (request.begunAt == 0) {
            throw world.fail(queue + ": " + request + " was returned but never made available");
        }
        checkStatus(request, status);
        boolean success = status == 0;
        int expectedBytes = success ? answerBytes + 1 : answerBytes == 0 ? 1 : 0;
        if (usedBytes != expectedBytes) {
            throw world.fail(request + ": used length " + usedBytes + " instead of " + expectedBytes);
        }
        if (request.isRefused) {
            return;
        }
        switch (request.type) {
            case SimulatedRequest.IN -> completeRead(request, written, success);
            case SimulatedRequest.FLUSH -> {
                if (success) {
                    model.endFlush(request.begunAt);
                }
            }
            case SimulatedRequest.GET_ID -> {
                if (!new String(written, 0, 8, java.nio.charset.StandardCharsets.US_ASCII).equals("serial-0")) {
                    throw world.fail("wrong serial");
                }
            }
            default ->
                model.endWrite(
                        java.util.Objects.requireNonNull(request.version),
                        success,
                        frontend.writeThroughSince() <= request.begunAt);
        }
    }

    private void completeRead(SimulatedRequest request, byte[] written, boolean success) {
        DiskModel.Read read = java.util.Objects.requireNonNull(request.read);
        if (!success) {
            model.abandonRead(read);
            return;
        }
        long[] stamps = new long[request.count];
        for (int i = 0; i < request.count; i++) {
            stamps[i] = SectorData.stampOf(written, i * SectorData.BYTES, request.first + i);
        }
        model.endRead(read, stamps);
    }

    private void checkStatus(SimulatedRequest request, int status) {
        if (request.isRefused) {
            if (status != 1) {
                throw world.fail(request + " has a buffer that the device may not touch, and ended with " + status);
            }
            return;
        }
        if (status == 0) {
            return;
        }
        boolean mayFail = request.type != SimulatedRequest.GET_ID && disk.errorCount() > request.errorsBefore;
        boolean flushes = request.type != SimulatedRequest.IN && request.type != SimulatedRequest.DISCARD;
        // Once a sync has failed every flush of that process fails.
        mayFail |= flushes && disk.syncErrorCount() > request.syncErrorsBefore;
        if (status != 1 || !mayFail) {
            throw world.fail(request + " ended with status " + status + " for no reason");
        }
    }

    /** A new process, which does not know what went wrong in the one before. */
    void onNewProcess() {
        if (disk.syncErrorCount() > syncErrorsBefore) {
            model.onSyncErrorForgotten();
        }
        syncErrorsBefore = disk.syncErrorCount();
    }

    /** The machine starts anew: nothing of what it asked for matters any more. */
    void reset() {
        queues.forEach(SimulatedQueue::reset);
        frontend.forgetRings();
    }

    void checkNoErrorSignal() {
        for (SimulatedQueue queue : queues) {
            if (EventFd.drain(queue.errFd()) == Long.BYTES) {
                throw world.fail(queue + " was called broken");
            }
        }
    }

    @Override
    public void close() {
        frontend.close();
        queues.forEach(SimulatedQueue::close);
    }
}

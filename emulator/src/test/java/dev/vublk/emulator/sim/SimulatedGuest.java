// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.sim;

import dev.vublk.vhostuser.frontend.DriverVirtqueue;
import dev.vublk.vhostuser.frontend.FrontendInflight;
import dev.vublk.vhostuser.frontend.FrontendMemory;
import dev.vublk.vhostuser.frontend.VhostUserFrontend;
import dev.vublk.vhostuser.linux.EventFd;
import dev.vublk.vhostuser.linux.UnixSocket;
import dev.vublk.vhostuser.protocol.ProtocolFeature;
import dev.vublk.vhostuser.virtqueue.VirtioFeature;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A virtual machine: its memory, the queues of its driver, and its end of the vhost-user socket. Makes random requests,
 * tells the model of them, and checks every answer.
 */
final class SimulatedGuest implements AutoCloseable {
    static final long MEMORY_BYTES = Simulation.QUEUES_MAX * SimulatedQueue.BYTES;
    static final long GUEST_ADDRESS = 0x4000_0000L;

    private static final long VIRTIO_BLK_F_FLUSH = 1L << 9;
    private static final long VIRTIO_BLK_F_CONFIG_WCE = 1L << 11;
    private static final long VIRTIO_BLK_F_MQ = 1L << 12;
    private static final long VIRTIO_BLK_F_DISCARD = 1L << 13;
    private static final long VIRTIO_BLK_F_WRITE_ZEROES = 1L << 14;
    private static final int CONFIG_WRITEBACK = 32;
    private static final long NEVER = Long.MAX_VALUE;

    /** Sectors that most requests fall on, so that many overlap. */
    private static final int HOT_SECTORS = 24;

    private final SimulatedWorld world;
    private final DiskModel model;
    private final SimulatedDisk disk;
    private final FrontendMemory memory;
    private final int sectors;
    private final long features;
    private final List<SimulatedQueue> queues = new ArrayList<>();
    private VhostUserFrontend frontend = VhostUserFrontend.over(-1, (fd, events) -> {});
    /** Whether its front end keeps an in-flight region for the back end. */
    private final boolean tracksInflight;

    /** Whether that may keep what has not been begun when a queue is stopped. */
    private final boolean leavesUnfinished;

    private @Nullable FrontendInflight inflight;

    /** What each ring was begun with last, or what GET_VRING_BASE said since. */
    private final int[] bases;

    /** All rings have been started by the present back end. */
    private boolean ringsRun;

    private boolean makesRequests;
    private long stampCount;
    private long completed;

    /** The step since which completed writes are stable for sure. */
    private long writeThroughSince = NEVER;

    /** Failed syncs before the present process was started: it does not know of them. */
    private long syncErrorsBefore;

    SimulatedGuest(
            SimulatedWorld world,
            DiskModel model,
            SimulatedDisk disk,
            FrontendMemory memory,
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
        features = wanted;
        tracksInflight = world.chance(60);
        leavesUnfinished = tracksInflight && world.seed() % 2 == 0;
        bases = new int[queueCount];
        for (int i = 0; i < queueCount; i++) {
            int size = Math.min(SimulatedQueue.SIZE_MAX, 8 << world.random.nextInt(4));
            queues.add(new SimulatedQueue(
                    this, world, i, memory.hostAddress() + i * SimulatedQueue.BYTES, size, features));
        }
        forgetRings();
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

    boolean tracksInflight() {
        return tracksInflight;
    }

    boolean leavesUnfinished() {
        return leavesUnfinished;
    }

    boolean hasIndirect() {
        return has(VirtioFeature.VIRTIO_F_INDIRECT_DESC);
    }

    long toGuestAddress(long hostAddress) {
        return memory.toGuestAddress(hostAddress);
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
                        writeThroughSince <= request.begunAt);
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

    // ---- as a front end

    /** Connects to a back end and starts every queue where its ring stands. */
    void connect(SimulatedBackEnd backEnd) throws IOException {
        int[] sockets = new int[2];
        if (UnixSocket.pair(sockets) < 0) {
            throw new IOException("socketpair");
        }
        ringsRun = false;
        backEnd.serve(sockets[1]);
        frontend = VhostUserFrontend.over(sockets[0], (fd, events) -> world.awaitReady(fd, events));
        frontend.setOwner();
        long offered = frontend.getFeatures();
        if ((features & ~offered) != 0) {
            throw world.fail("not offered: 0x" + Long.toHexString(features & ~offered));
        }
        frontend.getProtocolFeatures();
        frontend.setProtocolFeatures(ProtocolFeature.MQ.mask()
                | ProtocolFeature.REPLY_ACK.mask()
                | ProtocolFeature.CONFIG.mask()
                | ProtocolFeature.INFLIGHT_SHMFD.mask()
                | (leavesUnfinished ? ProtocolFeature.GET_VRING_BASE_INFLIGHT.mask() : 0));
        frontend.needReply(world.chance(50));
        check(frontend.setFeatures(features));
        if (tracksInflight) {
            if (inflight == null) {
                inflight = frontend.getInflightFd(queues.size(), SimulatedQueue.SIZE_MAX);
            }
            check(frontend.setInflightFd(inflight));
        }
        check(frontend.setMemTable(memory));
        writeThroughSince = backEnd.startsWriteback() && has(VIRTIO_BLK_F_FLUSH) ? NEVER : world.step();
        for (SimulatedQueue queue : queues) {
            start(queue, baseAfterReconnect(queue));
        }
        frontend.getFeatures(); // When it answers it has taken all that was said before.
        ringsRun = true;
        makesRequests = true;
    }

    /** With an in-flight region a front end may be wrong about it. */
    private int baseAfterReconnect(SimulatedQueue queue) {
        if (!tracksInflight || world.chance(50)) {
            return queue.ring().returnedBase();
        }
        return has(VirtioFeature.VIRTIO_F_RING_PACKED) ? bases[queue.index()] : world.random.nextInt(0x10000);
    }

    /** A new process, which does not know what went wrong in the one before. */
    void onNewProcess() {
        if (disk.syncErrorCount() > syncErrorsBefore) {
            model.onSyncErrorForgotten();
        }
        syncErrorsBefore = disk.syncErrorCount();
    }

    private void start(SimulatedQueue queue, int base) throws IOException {
        int index = queue.index();
        DriverVirtqueue ring = queue.ring();
        bases[index] = base;
        check(frontend.setVringNum(index, ring.size()));
        check(frontend.setVringBase(index, base));
        check(frontend.setVringAddr(index, ring.descAddress(), ring.availAddress(), ring.usedAddress()));
        check(frontend.setVringErr(index, queue.errFd()));
        check(frontend.setVringCall(index, queue.callFd()));
        check(frontend.setVringKick(index, queue.kickFd()));
        check(frontend.setVringEnable(index, true));
    }

    private void check(boolean taken) {
        if (!taken) {
            throw world.fail("a message was refused");
        }
    }

    private SimulatedQueue anyQueue() {
        return queues.get(world.random.nextInt(queues.size()));
    }

    /** GET_VRING_BASE of some queue, or of all; nothing may happen in their rings until they are started again. */
    void stopAndStart() throws IOException {
        List<SimulatedQueue> stopped = world.chance(50) ? queues : List.of(anyQueue());
        int[] returned = new int[stopped.size()];
        for (int i = 0; i < returned.length; i++) {
            SimulatedQueue queue = stopped.get(i);
            stop(queue);
            returned[i] = queue.returned();
        }
        if (stopped.size() == queues.size()) {
            checkDiskAtRest();
        }
        world.takeSteps(world.random.nextInt(200));
        for (int i = 0; i < returned.length; i++) {
            if (stopped.get(i).returned() != returned[i]) {
                throw world.fail(stopped.get(i) + ": something was returned after the stop");
            }
        }
        if (stopped.size() == queues.size() && disk.inFlight() > 0) {
            throw world.fail("a stopped queue asked the disk for something");
        }
        for (SimulatedQueue queue : stopped) {
            start(queue, bases[queue.index()]);
        }
    }

    /** GET_VRING_BASE of all queues, for good. */
    void stopAll() throws IOException {
        for (SimulatedQueue queue : queues) {
            stop(queue);
        }
        checkDiskAtRest();
    }

    private void stop(SimulatedQueue queue) throws IOException {
        int base = frontend.getVringBase(queue.index());
        bases[queue.index()] = base;
        boolean mayBeAhead = leavesUnfinished && queue.outstanding() > 0;
        if (base != queue.ring().returnedBase() && !mayBeAhead) {
            throw world.fail(queue + ": stopped at 0x" + Integer.toHexString(base) + ", but returned up to 0x"
                    + Integer.toHexString(queue.ring().returnedBase()));
        }
    }

    private void checkDiskAtRest() {
        if (disk.inFlight() > 0) {
            throw world.fail("all queues are stopped, but the disk is asked for something");
        }
    }

    /** SET_VRING_ENABLE off and on again. */
    void disableAndEnable() throws IOException {
        SimulatedQueue queue = anyQueue();
        frontend.needReply(true);
        check(frontend.setVringEnable(queue.index(), false));
        int returned = queue.returned();
        world.takeSteps(world.random.nextInt(100));
        if (queue.returned() != returned) {
            throw world.fail(queue + ": something was returned while disabled");
        }
        check(frontend.setVringEnable(queue.index(), true));
    }

    void replaceCallFd() throws IOException {
        SimulatedQueue queue = anyQueue();
        check(frontend.setVringCall(queue.index(), queue.callFd()));
    }

    void replaceMemory() throws IOException {
        check(frontend.setMemTable(memory));
    }

    void changeWriteCache() throws IOException {
        if (!has(VIRTIO_BLK_F_CONFIG_WCE) || !has(VIRTIO_BLK_F_FLUSH)) {
            return;
        }
        boolean writeback = world.chance(50);
        if (writeback) {
            writeThroughSince = NEVER;
        }
        frontend.needReply(true);
        check(frontend.setConfig(CONFIG_WRITEBACK, 0, (byte) (writeback ? 1 : 0)));
        if (!writeback) {
            writeThroughSince = Math.min(writeThroughSince, world.step() + 1);
        }
    }

    /** The front end's connection is gone, without a word. */
    void disconnect() {
        frontend.close();
        writeThroughSince = NEVER;
    }

    /** The machine starts anew: nothing of what it asked for matters any more. */
    void reset() {
        queues.forEach(SimulatedQueue::reset);
        forgetRings();
    }

    private void forgetRings() {
        for (SimulatedQueue queue : queues) {
            bases[queue.index()] = queue.ring().base();
        }
        if (inflight != null) {
            inflight.close();
            inflight = null;
        }
    }

    /** The back end was killed while the machine runs on. */
    void onKilled() {
        for (SimulatedQueue queue : queues) {
            EventFd.drain(queue.errFd());
            if (ringsRun) {
                EventFd.drain(queue.kickFd()); // It took the kick, and did not get round to look.
            }
        }
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
        forgetRings();
        queues.forEach(SimulatedQueue::close);
    }
}

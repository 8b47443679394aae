// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.sim;

import dev.vublk.vhostuser.frontend.DriverVirtqueue;
import dev.vublk.vhostuser.frontend.FrontendInflight;
import dev.vublk.vhostuser.frontend.FrontendLog;
import dev.vublk.vhostuser.frontend.VhostUserFrontend;
import dev.vublk.vhostuser.linux.EventFd;
import dev.vublk.vhostuser.linux.UnixSocket;
import dev.vublk.vhostuser.protocol.ProtocolFeature;
import dev.vublk.vhostuser.virtqueue.VirtioFeature;
import java.io.IOException;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The virtual machine monitor of a simulated guest: its end of the vhost-user socket, and what it does there while the guest runs.
 * Says what it likes when it likes; checks what the back end answers, and that nothing happens that must not happen then.
 */
final class SimulatedFrontend implements AutoCloseable {
    private static final int CONFIG_WRITEBACK = 32;
    private static final long NEVER = Long.MAX_VALUE;

    private final SimulatedWorld world;
    private final SimulatedDisk disk;
    private final SimulatedMemory memory;
    private final long features;
    private final List<SimulatedQueue> queues;
    private VhostUserFrontend frontend = VhostUserFrontend.over(-1, (fd, events) -> {});
    private boolean isConnected;

    /** Whether it keeps an in-flight region for the back end. */
    private final boolean tracksInflight;

    /** Whether that may keep what has not been begun when a queue is stopped. */
    private final boolean leavesUnfinished;

    private @Nullable FrontendInflight inflight;

    /** Null unless it migrates the guest now and then. */
    private final @Nullable SimulatedLog log;

    /** Null unless the guest has an IOMMU. */
    private final @Nullable SimulatedIommu iommu;

    /** What each ring was begun with last, or what GET_VRING_BASE said since. */
    private final int[] bases;

    /** All rings have been started by the present back end. */
    private boolean ringsRun;

    @SuppressWarnings("NullAway.Init") // Set with the first connection.
    private SimulatedBackEnd backEnd;

    /** The step since which completed writes are stable for sure. */
    private long writeThroughSince = NEVER;

    SimulatedFrontend(
            SimulatedWorld world,
            SimulatedDisk disk,
            SimulatedMemory memory,
            long features,
            List<SimulatedQueue> queues,
            boolean tracksInflight) {
        this.world = world;
        this.disk = disk;
        this.memory = memory;
        this.features = features;
        this.queues = queues;
        this.tracksInflight = tracksInflight;
        leavesUnfinished = tracksInflight && world.seed() % 2 == 0;
        log = migrates(world.seed()) ? new SimulatedLog(world, memory) : null;
        iommu = has(VirtioFeature.VIRTIO_F_ACCESS_PLATFORM) ? new SimulatedIommu(world, memory) : null;
        bases = new int[queues.size()];
    }

    /** Whether a seed's guest has an IOMMU: not chosen by the world, so that the other seeds stay what they were. */
    static boolean translates(long seed) {
        return mixed(seed) >>> 62 == 0;
    }

    private static boolean migrates(long seed) {
        return (mixed(seed) >>> 60 & 3) == 0;
    }

    /** Spreads neighbouring seeds; the factor is that of splitmix64. */
    private static long mixed(long seed) {
        return seed * 0x9e37_79b9_7f4a_7c15L;
    }

    private boolean has(long feature) {
        return (features & feature) != 0;
    }

    boolean tracksInflight() {
        return tracksInflight;
    }

    boolean leavesUnfinished() {
        return leavesUnfinished;
    }

    boolean hasIommu() {
        return iommu != null;
    }

    @Nullable
    SimulatedLog log() {
        return log;
    }

    long writeThroughSince() {
        return writeThroughSince;
    }

    // ---- connections

    /** Connects to a back end and starts every queue where its ring stands. */
    void connect(SimulatedBackEnd newBackEnd) throws IOException {
        backEnd = newBackEnd;
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
                | (log != null ? ProtocolFeature.LOG_SHMFD.mask() : 0)
                | (iommu != null ? ProtocolFeature.BACKEND_REQ.mask() : 0)
                | (leavesUnfinished ? ProtocolFeature.GET_VRING_BASE_INFLIGHT.mask() : 0));
        frontend.needReply(world.chance(50));
        if (iommu != null) {
            check(frontend.setBackendReqFd(iommu.openChannel()));
        }
        check(frontend.setFeatures(acknowledged()));
        if (tracksInflight) {
            if (inflight == null) {
                inflight = frontend.getInflightFd(queues.size(), SimulatedQueue.SIZE_MAX);
            }
            check(frontend.setInflightFd(inflight));
        }
        check(frontend.setMemTable(memory.table()));
        if (log != null && log.isActive()) {
            pass(log, log.current());
        }
        writeThroughSince = backEnd.startsWriteback() && has(SimulatedGuest.VIRTIO_BLK_F_FLUSH) ? NEVER : world.step();
        for (SimulatedQueue queue : queues) {
            start(queue, baseAfterReconnect(queue));
        }
        frontend.getFeatures(); // When it answers it has taken all that was said before.
        ringsRun = true;
        isConnected = true;
    }

    private boolean isLogging() {
        return log != null && log.isActive();
    }

    private long acknowledged() {
        return isLogging() ? features | VirtioFeature.VHOST_F_LOG_ALL : features;
    }

    /** With an in-flight region a front end may be wrong about it. */
    private int baseAfterReconnect(SimulatedQueue queue) {
        if (!tracksInflight || world.chance(50)) {
            return queue.ring().returnedBase();
        }
        return has(VirtioFeature.VIRTIO_F_RING_PACKED) ? bases[queue.index()] : world.random.nextInt(0x10000);
    }

    /** Its connection is gone, without a word. */
    void disconnect() {
        frontend.close();
        isConnected = false;
        writeThroughSince = NEVER;
        if (iommu != null) {
            iommu.close();
        }
    }

    /** The back end may be killed in the middle of anything from now on. */
    void onDying() {
        isConnected = false;
    }

    /** Whether what lies in a ring is logged at any moment: a killed back end leaves that to the next, once it begins with the ring. */
    boolean logsRing(int queue) {
        return isLogging() && isConnected && backEnd.hasBegun(queue);
    }

    /** The back end was killed while the machine runs on. */
    void onKilled() {
        for (SimulatedQueue queue : queues) {
            EventFd.drain(queue.errFd());
            if (ringsRun && iommu == null) { // Rings that wait for their translations leave kicks alone.
                EventFd.drain(queue.kickFd()); // It took the kick, and did not get round to look.
            }
        }
    }

    /** The machine starts anew. */
    void forgetRings() {
        for (SimulatedQueue queue : queues) {
            bases[queue.index()] = queue.ring().base();
        }
        if (inflight != null) {
            inflight.close();
            inflight = null;
        }
        if (log != null) {
            log.end();
        }
    }

    // ---- whenever it has nothing else to do

    /** Between two messages: serves the guest's IOMMU. */
    void act() {
        if (iommu != null && isConnected) {
            try {
                iommu.act(frontend);
            } catch (IOException e) {
                throw world.fail("the front end: " + e.getMessage());
            }
        }
    }

    /** Takes pages back from the device. */
    void invalidate() throws IOException {
        if (iommu != null) {
            for (int page : iommu.invalidate(frontend)) {
                if (log != null) {
                    log.absorbPage(page);
                }
            }
        }
    }

    // ---- rings

    private void start(SimulatedQueue queue, int base) throws IOException {
        int index = queue.index();
        bases[index] = base;
        check(frontend.setVringNum(index, queue.ring().size()));
        check(frontend.setVringBase(index, base));
        setAddresses(queue, isLogging());
        check(frontend.setVringErr(index, queue.errFd()));
        check(frontend.setVringCall(index, queue.callFd()));
        check(frontend.setVringKick(index, queue.kickFd()));
        check(frontend.setVringEnable(index, true));
    }

    private void setAddresses(SimulatedQueue queue, boolean logged) throws IOException {
        DriverVirtqueue ring = queue.ring();
        long desc = memory.ringAddress(ring.descAddress());
        long avail = memory.ringAddress(ring.availAddress());
        long used = memory.ringAddress(ring.usedAddress());
        check(
                logged
                        ? frontend.setVringAddrLogged(
                                queue.index(), desc, avail, used, memory.deviceAddress(ring.usedAddress()))
                        : frontend.setVringAddr(queue.index(), desc, avail, used));
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
        int told = bases[queue.index()];
        int base = frontend.getVringBase(queue.index());
        bases[queue.index()] = base;
        // One that waits for translations leaves what it has recovered, too.
        boolean mayBeAhead = (leavesUnfinished || (tracksInflight && iommu != null)) && queue.outstanding() > 0;
        // One whose ring has not been translated yet has not been looked at: it is where it was told to be, right or
        // wrong.
        boolean mayNotHaveBegun = tracksInflight && iommu != null && base == told;
        if (base != queue.ring().returnedBase() && !mayBeAhead && !mayNotHaveBegun) {
            throw world.fail(queue + ": stopped at 0x" + Integer.toHexString(base) + ", but returned up to 0x"
                    + Integer.toHexString(queue.ring().returnedBase()));
        }
        queue.checkRingLogged();
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
        check(frontend.setMemTable(memory.table()));
    }

    void changeWriteCache() throws IOException {
        if (!has(SimulatedGuest.VIRTIO_BLK_F_CONFIG_WCE) || !has(SimulatedGuest.VIRTIO_BLK_F_FLUSH)) {
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

    // ---- migration

    /** Begins to log what the device writes, or goes on with it in another log, or with what there is, or ends it. */
    void migrate() throws IOException {
        SimulatedLog to = log;
        if (to == null) {
            return;
        }
        frontend.needReply(true);
        if (!to.isActive()) {
            beginLogging(to);
        } else if (world.chance(35)) {
            pass(to, to.create());
            to.onPassed();
        } else if (world.chance(50)) {
            to.sync();
        } else {
            endLogging(to);
        }
        to.checkRetired();
    }

    /** The order of the first two is a front end's to choose. */
    private void beginLogging(SimulatedLog to) throws IOException {
        boolean featuresFirst = world.chance(30);
        if (featuresFirst) {
            check(frontend.setFeatures(features | VirtioFeature.VHOST_F_LOG_ALL));
        }
        pass(to, to.create());
        if (!featuresFirst) {
            check(frontend.setFeatures(features | VirtioFeature.VHOST_F_LOG_ALL));
        }
        for (SimulatedQueue queue : queues) {
            setAddresses(queue, true);
        }
        to.onActive();
    }

    private void pass(SimulatedLog to, FrontendLog passed) throws IOException {
        check(frontend.setLogFd(to.eventFd()));
        check(frontend.setLogBase(passed.region(), passed.fd()));
    }

    private void endLogging(SimulatedLog to) throws IOException {
        to.suspend();
        check(frontend.setFeatures(features));
        to.end();
        for (SimulatedQueue queue : queues) {
            setAddresses(queue, false);
        }
    }

    /** Nobody has written to what is not in use any more. */
    void checkAtEnd() {
        if (log != null) {
            log.checkRetired();
        }
        if (iommu != null) {
            iommu.checkNobodyTrespasses();
        }
    }

    @Override
    public void close() {
        disconnect();
        forgetRings();
        if (log != null) {
            log.close();
        }
    }
}

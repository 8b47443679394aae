// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator;

import dev.vublk.vhostuser.frontend.FrontendInflight;
import dev.vublk.vhostuser.frontend.FrontendMemory;
import dev.vublk.vhostuser.frontend.VhostUserFrontend;
import dev.vublk.vhostuser.linux.SharedMapping;
import dev.vublk.vhostuser.memory.HostMemory;
import dev.vublk.vhostuser.protocol.ProtocolFeature;
import dev.vublk.vhostuser.virtqueue.VirtioFeature;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** A virtual machine with its memory, connected to a disk's socket and negotiated, without any queue yet. One thread. */
public final class Guest implements AutoCloseable {
    public static final long GUEST_ADDRESS = 0x4000_0000L;
    private static final long MEMORY_BYTES = 64 << 20;

    private static final long PROTOCOL_FEATURES = ProtocolFeature.MQ.mask()
            | ProtocolFeature.LOG_SHMFD.mask()
            | ProtocolFeature.REPLY_ACK.mask()
            | ProtocolFeature.BACKEND_REQ.mask()
            | ProtocolFeature.CONFIG.mask()
            | ProtocolFeature.INFLIGHT_SHMFD.mask()
            | ProtocolFeature.GET_VRING_BASE_INFLIGHT.mask()
            | ProtocolFeature.CONFIGURE_MEM_SLOTS.mask();

    private final String socketPath;
    private VhostUserFrontend frontend;
    private @Nullable FrontendInflight inflight;
    private final FrontendMemory memory;
    private GuestHeap heap;
    private @Nullable GuestIommu iommu;
    private @Nullable LateMemory lateMemory;
    private final List<GuestQueue> queues = new ArrayList<>();
    private final long features;
    private final long protocolFeatures;

    private Guest(
            String socketPath,
            VhostUserFrontend frontend,
            FrontendMemory memory,
            long features,
            long protocolFeatures) {
        this.socketPath = socketPath;
        this.frontend = frontend;
        this.memory = memory;
        this.features = features;
        this.protocolFeatures = protocolFeatures;
        heap = new GuestHeap(memory.hostAddress(), memory.sizeBytes());
    }

    /** With split rings, and every other feature offered. */
    public static Guest connect(EmulatorUnderTest emulator) throws IOException {
        return connect(emulator, RingKind.SPLIT);
    }

    public static Guest connect(EmulatorUnderTest emulator, RingKind rings) throws IOException {
        return connect(emulator, rings.unwantedFeatures);
    }

    /** Takes every feature offered, but for {@code unwantedFeatures}. */
    public static Guest connect(EmulatorUnderTest emulator, long unwantedFeatures) throws IOException {
        return connect(emulator.socketPath(), unwantedFeatures);
    }

    public static Guest connect(String socketPath, long unwantedFeatures) throws IOException {
        return connect(socketPath, unwantedFeatures, PROTOCOL_FEATURES);
    }

    /** Takes every feature offered, of the protocol too. */
    public static Guest connectWithAll(EmulatorUnderTest emulator) throws IOException {
        return connect(emulator.socketPath(), RingKind.SPLIT.unwantedFeatures, -1);
    }

    private static Guest connect(String socketPath, long unwantedFeatures, long protocolFeatures) throws IOException {
        VhostUserFrontend frontend = VhostUserFrontend.connect(socketPath);
        long features = frontend.getFeatures() & ~unwantedFeatures;
        Guest guest = new Guest(
                socketPath, frontend, FrontendMemory.create(GUEST_ADDRESS, MEMORY_BYTES), features, protocolFeatures);
        guest.negotiate();
        return guest;
    }

    /** A guest that migrates: its memory is not there yet. */
    static Guest arrive(EmulatorUnderTest emulator, RingKind rings, LateMemory late) throws IOException {
        VhostUserFrontend frontend = VhostUserFrontend.connect(emulator.socketPath());
        long features = frontend.getFeatures() & ~rings.unwantedFeatures;
        long protocol = PROTOCOL_FEATURES | ProtocolFeature.PAGEFAULT.mask();
        Guest guest = new Guest(
                emulator.socketPath(),
                frontend,
                FrontendMemory.create(GUEST_ADDRESS, MEMORY_BYTES),
                features,
                protocol);
        guest.lateMemory = late;
        guest.negotiate();
        return guest;
    }

    private void negotiate() throws IOException {
        frontend.setProtocolFeatures(frontend.getProtocolFeatures() & protocolFeatures);
        frontend.needReply(true);
        if (!frontend.setOwner()
                || !frontend.setFeatures(features)
                || (inflight != null && !frontend.setInflightFd(inflight))) {
            throw new AssertionError("the back end refuses a well-behaved front end");
        }
        if (lateMemory != null) {
            lateMemory.listen(frontend);
        } else if (!frontend.setMemTable(memory)) {
            throw new AssertionError("the back end refuses its memory");
        }
    }

    /** Lets rings and requests lie where the IOMMU shows the memory, and have its addresses. Before any queue. */
    void translateBy(GuestIommu newIommu) {
        iommu = newIommu;
        heap = new GuestHeap(newIommu.viewAddress(), GuestIommu.VIEW_BYTES);
    }

    /** Has what is in flight tracked, for so many queues of at most that size. Before any queue. */
    public Guest trackInflight(int queueCount, int queueSize) throws IOException {
        inflight = frontend.getInflightFd(queueCount, queueSize);
        if (!frontend.setInflightFd(inflight)) {
            throw new AssertionError("the back end refuses its own in-flight region");
        }
        return this;
    }

    /**
     * Makes the region of queue 0, which must be split and drained, say that {@code head} alone is in flight since the ring's
     * used index was 0: as a back end leaves it that dies before it has returned its first request.
     */
    public void markInflight(int head) {
        FrontendInflight region = Objects.requireNonNull(inflight, "not tracked");
        long bytes = region.description().mmapSizeBytes();
        long block = SharedMapping.map(region.fd(), region.description().mmapOffsetBytes(), bytes);
        HostMemory.putU16Release(block + 14, 0); // used_idx
        HostMemory.putLong(block + 16 + 16L * head, 1); // desc[head].inflight
        SharedMapping.unmap(block, bytes);
    }

    /** Hangs up if need be and connects anew, as QEMU does when its back end went away. Queues have to be restarted. */
    public void reconnect() throws IOException {
        frontend.close();
        frontend = VhostUserFrontend.connect(socketPath);
        negotiate();
    }

    public VhostUserFrontend frontend() {
        return frontend;
    }

    public FrontendMemory memory() {
        return memory;
    }

    GuestHeap heap() {
        return heap;
    }

    /** What was negotiated. */
    public long features() {
        return features;
    }

    /** Toggles LOG_ALL, with all other features as they are. */
    void setLogAll(boolean on) throws IOException {
        long without = features & ~VirtioFeature.VHOST_F_LOG_ALL;
        if (!frontend.setFeatures(on ? without | VirtioFeature.VHOST_F_LOG_ALL : without)) {
            throw new AssertionError("LOG_ALL was refused");
        }
    }

    /** What a descriptor says for an address of this process. */
    public long guestAddress(long hostAddress) {
        return iommu == null ? memory.toGuestAddress(hostAddress) : iommu.iova(hostAddress);
    }

    /** What SET_VRING_ADDR says for an address of this process. */
    long ringAddress(long hostAddress) {
        return iommu == null ? hostAddress : iommu.iova(hostAddress);
    }

    /** Queue 0 of 128 descriptors, running. */
    public GuestQueue queue() throws IOException {
        return queue(0, 128).start();
    }

    /** A queue that the back end does not know of yet. */
    public GuestQueue queue(int index, int size) {
        GuestQueue queue = new GuestQueue(this, index, size);
        queues.add(queue);
        return queue;
    }

    /** Hangs up, whatever is in flight, and waits for nothing. */
    @Override
    public void close() {
        frontend.close();
        queues.forEach(GuestQueue::close);
        if (inflight != null) {
            inflight.close();
        }
        memory.close();
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import static dev.vublk.tools.bench.BlkSpec.*;

import dev.vublk.vhostuser.frontend.DriverVirtqueue;
import dev.vublk.vhostuser.frontend.FrontendMemory;
import dev.vublk.vhostuser.frontend.VhostUserFrontend;
import dev.vublk.vhostuser.linux.Errno;
import dev.vublk.vhostuser.linux.EventFd;
import dev.vublk.vhostuser.linux.EventFdReader;
import dev.vublk.vhostuser.protocol.ProtocolFeature;
import dev.vublk.vhostuser.virtqueue.VirtioFeature;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A back end's disk, connected and negotiated: what it offers, the guest memory shared with it and the queues set up. One
 * thread at a time. Owns connection, memory and queues.
 */
final class BenchDisk implements AutoCloseable {
    /** Where the guest sees its memory; arbitrary, but different from where it is mapped. */
    private static final long GUEST_ADDRESS = 0x1_0000_0000L;

    private static final long PROTOCOL_FEATURES =
            ProtocolFeature.MQ.mask() | ProtocolFeature.REPLY_ACK.mask() | ProtocolFeature.CONFIG.mask();

    private static final long DEVICE_FEATURES = VirtioFeature.VIRTIO_F_VERSION_1
            | VirtioFeature.VHOST_USER_F_PROTOCOL_FEATURES
            | VirtioFeature.VIRTIO_F_EVENT_IDX
            | VIRTIO_BLK_F_SIZE_MAX
            | VIRTIO_BLK_F_SEG_MAX
            | VIRTIO_BLK_F_RO
            | VIRTIO_BLK_F_BLK_SIZE
            | VIRTIO_BLK_F_FLUSH
            | VIRTIO_BLK_F_TOPOLOGY
            | VIRTIO_BLK_F_MQ;

    private final String socket;
    private final VhostUserFrontend frontend;
    private final long features;
    private final int queueCountMax;
    private final ByteBuffer config;
    private final List<BenchQueue> queues = new ArrayList<>();
    private final EventFdReader errors = newEventFd();
    private @Nullable FrontendMemory memory;
    private long nextFree;

    private BenchDisk(String socket, VhostUserFrontend frontend, long features, int queueCountMax, ByteBuffer config)
            throws IOException {
        this.socket = socket;
        this.frontend = frontend;
        this.features = features;
        this.queueCountMax = queueCountMax;
        this.config = config;
    }

    /** Connects and negotiates; there is no memory and no queue yet. */
    static BenchDisk connect(String socket, boolean indirect, boolean packed) throws IOException {
        VhostUserFrontend frontend = VhostUserFrontend.connect(socket);
        try {
            return negotiate(socket, frontend, indirect, packed);
        } catch (IOException | RuntimeException e) {
            frontend.close();
            throw e;
        }
    }

    private static BenchDisk negotiate(String socket, VhostUserFrontend frontend, boolean indirect, boolean packed)
            throws IOException {
        long offered = frontend.getFeatures();
        if ((offered & VirtioFeature.VHOST_USER_F_PROTOCOL_FEATURES) == 0
                || (offered & VirtioFeature.VIRTIO_F_VERSION_1) == 0) {
            throw new IOException(socket + ": the back end is no vhost-user device of virtio 1");
        }
        long protocol = frontend.getProtocolFeatures() & PROTOCOL_FEATURES;
        if (!ProtocolFeature.CONFIG.isIn(protocol)) {
            throw new IOException(socket + ": the back end has no configuration space: no vhost-user-blk?");
        }
        frontend.setProtocolFeatures(protocol);
        frontend.needReply(ProtocolFeature.REPLY_ACK.isIn(protocol));
        require(frontend.setOwner(), socket, "SET_OWNER");
        if (indirect && (offered & VirtioFeature.VIRTIO_F_INDIRECT_DESC) == 0) {
            throw new IOException(socket + ": the back end does not offer indirect descriptors; leave --indirect out");
        }
        if (packed && (offered & VirtioFeature.VIRTIO_F_RING_PACKED) == 0) {
            throw new IOException(socket + ": the back end does not offer packed rings; leave --packed out");
        }
        long features = offered
                & (DEVICE_FEATURES
                        | (indirect ? VirtioFeature.VIRTIO_F_INDIRECT_DESC : 0)
                        | (packed ? VirtioFeature.VIRTIO_F_RING_PACKED : 0));
        require(frontend.setFeatures(features), socket, "SET_FEATURES");
        ByteBuffer config = readConfig(socket, frontend);
        int queueCountMax = 1;
        if (ProtocolFeature.MQ.isIn(protocol) && (features & VIRTIO_BLK_F_MQ) != 0) {
            int configured = config.getShort(CONFIG_NUM_QUEUES) & 0xffff;
            queueCountMax = (int) Math.min(configured, frontend.getQueueNum());
        }
        return new BenchDisk(socket, frontend, features, queueCountMax, config);
    }

    private static ByteBuffer readConfig(String socket, VhostUserFrontend frontend) throws IOException {
        byte[] bytes = frontend.getConfig(0, CONFIG_BYTES);
        if (bytes.length == 0) {
            bytes = frontend.getConfig(0, CONFIG_WITH_ZONES_BYTES);
        }
        if (bytes.length == 0) {
            throw new IOException(socket + ": the back end does not let its configuration space be read");
        }
        return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    private static void require(boolean taken, String socket, String message) throws IOException {
        if (!taken) {
            throw new IOException(socket + ": the back end refuses " + message);
        }
    }

    static EventFdReader newEventFd() throws IOException {
        int fd = EventFd.create();
        if (fd < 0) {
            throw new IOException("eventfd: " + Errno.describe(fd));
        }
        return new EventFdReader(fd);
    }

    String socket() {
        return socket;
    }

    // ---- what the back end offers

    long capacityBytes() {
        return config.getLong(CONFIG_CAPACITY) * SECTOR_BYTES;
    }

    boolean isReadOnly() {
        return has(VIRTIO_BLK_F_RO);
    }

    boolean canFlush() {
        return has(VIRTIO_BLK_F_FLUSH);
    }

    /** What was negotiated. */
    long features() {
        return features;
    }

    private boolean has(long feature) {
        return (features & feature) != 0;
    }

    int logicalBlockBytes() {
        return has(VIRTIO_BLK_F_BLK_SIZE) ? config.getInt(CONFIG_BLK_SIZE) : SECTOR_BYTES;
    }

    /** The longest data descriptor. */
    int segmentBytesMax() {
        int sizeMax = has(VIRTIO_BLK_F_SIZE_MAX) ? config.getInt(CONFIG_SIZE_MAX) : 0;
        return sizeMax > 0 ? sizeMax : Integer.MAX_VALUE;
    }

    /** The most data descriptors of a request. */
    int segmentsMax() {
        int segMax = has(VIRTIO_BLK_F_SEG_MAX) ? config.getInt(CONFIG_SEG_MAX) : 0;
        return segMax > 0 ? segMax : Integer.MAX_VALUE;
    }

    int queueCountMax() {
        return queueCountMax;
    }

    // ---- memory

    /** Shares so much memory with the back end, once. */
    void shareMemory(long sizeBytes) throws IOException {
        FrontendMemory shared = FrontendMemory.create(GUEST_ADDRESS, (sizeBytes + 0xfff) & ~0xfffL);
        memory = shared;
        nextFree = shared.hostAddress();
        require(frontend.setMemTable(shared), socket, "SET_MEM_TABLE");
    }

    private FrontendMemory sharedMemory() {
        FrontendMemory shared = memory;
        if (shared == null) {
            throw new IllegalStateException("no memory is shared yet");
        }
        return shared;
    }

    /** Host address of a piece of the shared memory; {@code alignment} is a power of two. */
    long allocate(long sizeBytes, long alignment) {
        long address = (nextFree + alignment - 1) & -alignment;
        nextFree = address + sizeBytes;
        if (nextFree > sharedMemory().hostAddress() + sharedMemory().sizeBytes()) {
            throw new IllegalStateException("more memory is used than was shared");
        }
        return address;
    }

    long guestAddress(long hostAddress) {
        return sharedMemory().toGuestAddress(hostAddress);
    }

    // ---- queues

    /** Sets a queue up and enables it. */
    BenchQueue startQueue(int index, int size, EventFdReader calls) throws IOException {
        BenchQueue queue = new BenchQueue(this, size, newEventFd());
        queues.add(queue);
        require(frontend.setVringNum(index, size), socket, "SET_VRING_NUM " + size);
        require(frontend.setVringBase(index, queue.ring().base()), socket, "SET_VRING_BASE");
        DriverVirtqueue ring = queue.ring();
        require(
                frontend.setVringAddr(index, ring.descAddress(), ring.availAddress(), ring.usedAddress()),
                socket,
                "SET_VRING_ADDR");
        require(frontend.setVringCall(index, calls.fd()), socket, "SET_VRING_CALL");
        require(frontend.setVringErr(index, errors.fd()), socket, "SET_VRING_ERR");
        require(frontend.setVringKick(index, queue.kickFd()), socket, "SET_VRING_KICK");
        require(frontend.setVringEnable(index, true), socket, "SET_VRING_ENABLE");
        return queue;
    }

    /** Stops a queue that has nothing in flight. */
    void stopQueue(int index) throws IOException {
        frontend.getVringBase(index);
    }

    /** Whether the back end has hung up or broken a queue off. */
    boolean hasFailed() {
        return frontend.hasEnded() || errors.take() > 0;
    }

    @Override
    public void close() {
        frontend.close();
        queues.forEach(BenchQueue::close);
        errors.close();
        if (memory != null) {
            memory.close();
            memory = null;
        }
    }
}

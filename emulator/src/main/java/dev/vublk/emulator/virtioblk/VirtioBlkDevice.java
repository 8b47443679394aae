// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import static dev.vublk.emulator.virtioblk.VirtioBlkSpec.*;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.BlockLimits;
import dev.vublk.blockdev.DiskLifetime;
import dev.vublk.blockdev.ZonedChannel;
import dev.vublk.blockdev.ZonedLimits;
import dev.vublk.emulator.coroutine.CoroutineFuture;
import dev.vublk.emulator.iothread.PassLoop;
import dev.vublk.vhostuser.QueueEvents;
import dev.vublk.vhostuser.VhostUserDevice;
import dev.vublk.vhostuser.memory.GuestMemory;
import dev.vublk.vhostuser.protocol.VhostUserProtocolException;
import dev.vublk.vhostuser.virtqueue.QueueLog;
import dev.vublk.vhostuser.virtqueue.VirtqueueSetup;
import java.util.List;
import java.util.Objects;
import java.util.function.Consumer;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;
import org.jspecify.annotations.Nullable;

/**
 * A virtio block device (virtio 1.2 section 5.2) for one session: queue i of it runs on IOThread i mod N.
 *
 * <p>Runs on the control loop; what concerns a queue is posted to the queue's IOThread and waited for.
 */
public final class VirtioBlkDevice implements VhostUserDevice {
    private static final Logger LOG = LogManager.getLogger(VirtioBlkDevice.class);

    private final String name;
    private final PassLoop controlLoop;
    private final List<? extends PassLoop> ioThreads;
    private final List<BlockChannel> channels;
    private final BlockLimits limits;
    private final DiskCapacity capacity;
    private final DiskPossession disk;
    private final VirtioBlkSettings settings;
    private final WriteCache writeCache;
    private final byte[] serial;
    private final @Nullable VirtioBlkQueue[] queues;
    private final RequestMemory requestMemory = new RequestMemory();
    private @Nullable QueueEvents events;
    private long acknowledged;
    private boolean inPossession;
    private boolean refusalReported;

    /**
     * @param name what log lines call the disk
     * @param disk whether guests may use the disk
     * @param channels the disk on each of {@code ioThreads}, in the same order
     * @param limits what the disk can do
     * @param capacity its present size, instead of that of {@code limits}
     */
    public VirtioBlkDevice(
            String name,
            PassLoop controlLoop,
            List<? extends PassLoop> ioThreads,
            List<BlockChannel> channels,
            BlockLimits limits,
            DiskCapacity capacity,
            DiskPossession disk,
            VirtioBlkSettings settings) {
        this.name = name;
        this.controlLoop = controlLoop;
        this.ioThreads = ioThreads;
        this.channels = channels;
        this.limits = limits;
        this.capacity = capacity;
        this.disk = disk;
        this.settings = settings;
        writeCache = new WriteCache(limits.initialWriteback());
        serial = settings.serialBytes();
        queues = new VirtioBlkQueue[settings.queueCountMax()];
    }

    @Override
    public void attach(QueueEvents newEvents) {
        events = newEvents;
    }

    @Override
    public int queueCountMax() {
        return settings.queueCountMax();
    }

    @Override
    public int queueSizeMax() {
        return settings.queueSizeMax();
    }

    @Override
    public boolean packedRings() {
        return settings.packedRings();
    }

    @Override
    public long deviceFeatures() {
        long features = VIRTIO_BLK_F_SIZE_MAX
                | VIRTIO_BLK_F_SEG_MAX
                | VIRTIO_BLK_F_GEOMETRY
                | VIRTIO_BLK_F_BLK_SIZE
                | VIRTIO_BLK_F_FLUSH
                | VIRTIO_BLK_F_TOPOLOGY
                | VIRTIO_BLK_F_CONFIG_WCE
                | VIRTIO_BLK_F_MQ;
        if (offersLifetime()) {
            features |= VIRTIO_BLK_F_LIFETIME;
        }
        if (limits.zoned() != null) {
            features |= VIRTIO_BLK_F_ZONED;
        }
        if (limits.readOnly()) {
            return features | VIRTIO_BLK_F_RO;
        }
        if (offersDiscard()) {
            features |= VIRTIO_BLK_F_DISCARD;
        }
        if (offersWriteZeroes()) {
            features |= VIRTIO_BLK_F_WRITE_ZEROES;
        }
        if (offersSecureErase()) {
            features |= VIRTIO_BLK_F_SECURE_ERASE;
        }
        return features;
    }

    /** Not with host-managed zones, whose driver must not take it (section 5.2.5.1). */
    private boolean offersDiscard() {
        return settings.discard() && limits.supportsDiscard() && limits.zoned() == null;
    }

    /** Not with zones: there it would be a write that has to follow the write pointer. */
    private boolean offersWriteZeroes() {
        return settings.writeZeroes() && limits.zoned() == null;
    }

    private boolean offersSecureErase() {
        return settings.secureErase() && !limits.readOnly() && limits.secureEraseAlignmentBytes() > 0;
    }

    /** Section 5.2.6.2: not when there is nothing to tell. */
    private boolean offersLifetime() {
        DiskLifetime setting = settings.lifetime();
        return setting == null ? limits.tellsLifetime() : !setting.equals(DiskLifetime.UNKNOWN);
    }

    @Override
    public void featuresAcked(long features) {
        acknowledged = features;
        if (features == 0) {
            writeCache.reset();
        } else {
            writeCache.flushNegotiated((features & VIRTIO_BLK_F_FLUSH) != 0);
        }
    }

    @Override
    public byte[] configSpace() {
        return VirtioBlkConfigSpace.encode(limits.withSizeBytes(capacity.bytes()), settings, writeCache.isWriteback());
    }

    @Override
    public boolean writeConfigSpace(int offset, byte[] data) {
        if (offset != CONFIG_WRITEBACK || data.length != 1 || (data[0] & ~1) != 0) {
            return false;
        }
        writeCache.writeback(data[0] == 1);
        LOG.info("{}: the guest chose {}", name, data[0] == 1 ? "write-back" : "write-through");
        return true;
    }

    @Override
    public void startQueue(VirtqueueSetup setup) throws VhostUserProtocolException {
        int index = setup.queueIndex();
        if (queues[index] != null) {
            throw new IllegalStateException("queue " + index + " is running");
        }
        if (!inPossession) {
            disk.take();
            inPossession = true;
        }
        if (isRefused() && !refusalReported) {
            refusalReported = true; // Once a session, not once a queue each time a guest starts them.
            LOG.warn("{}: the driver knows no zoned disks (VIRTIO_BLK_F_ZONED): every access will fail", name);
        }
        PassLoop ioThread = ioThreads.get(index % ioThreads.size());
        RequestSlots slots = new RequestSlots(
                ioThread::execute, requestMemory, setup.size(), settings.segmentMax(), settings.rangesMax());
        VirtioBlkQueue queue = new VirtioBlkQueue(
                ioThread,
                name + " queue " + index,
                setup,
                new VirtioBlkRequestParser(rules()),
                newHandler(channels.get(index % ioThreads.size())),
                new VirtioBlkCounters(),
                new QueueReports(controlLoop, Objects.requireNonNull(events, "not attached"), index),
                slots);
        requestMemory.join(slots);
        queues[index] = queue; // Already: what it reports may be answered before this has returned.
        boolean isStarted = false;
        try {
            await(ioThread, done -> {
                queue.start();
                done.complete(0);
            });
            isStarted = true;
        } finally {
            if (!isStarted) {
                queues[index] = null; // One that did not start must not be stopped.
                requestMemory.leave(slots);
            }
        }
    }

    private VirtioBlkRequestHandler newHandler(BlockChannel channel) {
        ZonedChannel zones = channel.zones();
        return new VirtioBlkRequestHandler(
                channel,
                writeCache,
                serial,
                settings.lifetime(),
                zones == null ? null : new ZoneRequestHandler(zones, writeCache));
    }

    private RequestRules rules() {
        int block = limits.logicalBlockBytes();
        long eraseAlignment = Math.max(block, VirtioBlkConfigSpace.secureEraseAlignmentBytes(limits));
        ZonedLimits zoned = limits.zoned();
        return new RequestRules(
                limits.readOnly(),
                isRefused() ? new DiskCapacity(0) : capacity,
                settings.rangesMax(),
                offersDiscard() && isAcknowledged(VIRTIO_BLK_F_DISCARD)
                        ? VirtioBlkConfigSpace.maxSectors(limits.maxDiscardBytes(), block)
                        : 0,
                offersWriteZeroes() && isAcknowledged(VIRTIO_BLK_F_WRITE_ZEROES)
                        ? VirtioBlkConfigSpace.maxSectors(limits.maxWriteZeroesBytes(), block)
                        : 0,
                offersSecureErase() && isAcknowledged(VIRTIO_BLK_F_SECURE_ERASE)
                        ? VirtioBlkConfigSpace.maxSectors(limits.maxWriteZeroesBytes(), eraseAlignment)
                        : 0,
                eraseAlignment,
                offersLifetime() && isAcknowledged(VIRTIO_BLK_F_LIFETIME),
                zoned != null && isAcknowledged(VIRTIO_BLK_F_ZONED),
                zoned == null ? 0 : VirtioBlkConfigSpace.maxAppendBytes(zoned, settings));
    }

    private boolean isAcknowledged(long feature) {
        return (acknowledged & feature) != 0;
    }

    /**
     * Section 5.2.5.2: a driver that does not take ZONED must not get to use a host-managed disk. FEATURES_OK is the front
     * end's to refuse; what is left to us is to let every access fail.
     */
    private boolean isRefused() {
        return limits.zoned() != null && !isAcknowledged(VIRTIO_BLK_F_ZONED);
    }

    @Override
    public int stopQueue(int queueIndex, boolean leaveUnfinished) {
        VirtioBlkQueue queue = running(queueIndex);
        int base = await(queue.ioThread(), done -> queue.stop(leaveUnfinished, done::complete));
        queues[queueIndex] = null;
        requestMemory.leave(queue.slots());
        return base;
    }

    @Override
    public void kickQueue(int queueIndex) {
        VirtioBlkQueue queue = running(queueIndex);
        await(queue.ioThread(), done -> {
            queue.onKick();
            done.complete(0);
        });
    }

    @Override
    public void setCallFd(int queueIndex, int callFd) {
        VirtioBlkQueue queue = running(queueIndex);
        await(queue.ioThread(), done -> {
            queue.callFd(callFd);
            done.complete(0);
        });
    }

    @Override
    public void setErrFd(int queueIndex, int errFd) {
        VirtioBlkQueue queue = running(queueIndex);
        await(queue.ioThread(), done -> {
            queue.errFd(errFd);
            done.complete(0);
        });
    }

    @Override
    public void setLog(int queueIndex, @Nullable QueueLog log) {
        VirtioBlkQueue queue = running(queueIndex);
        await(queue.ioThread(), done -> {
            queue.logTo(log);
            done.complete(0);
        });
    }

    @Override
    public void handOver() {
        inPossession = false;
        disk.handOver();
    }

    @Override
    public void extendMemory(GuestMemory memory) {
        for (VirtioBlkQueue queue : queues) {
            if (queue != null) {
                await(queue.ioThread(), done -> {
                    queue.extendMemory(memory);
                    done.complete(0);
                });
            }
        }
    }

    @Override
    public void translated(int queueIndex, long[] misses, long[] refused) {
        VirtioBlkQueue queue = queues[queueIndex];
        if (queue != null) {
            queue.ioThread().execute(() -> queue.onTranslated(misses, refused));
        }
    }

    @Override
    public void awaitUnused(int queueIndex, long firstIova, long lastIova) {
        VirtioBlkQueue queue = running(queueIndex);
        await(queue.ioThread(), done -> queue.whenUnused(firstIova, lastIova, () -> done.complete(0)));
    }

    private VirtioBlkQueue running(int queueIndex) {
        return Objects.requireNonNull(queues[queueIndex], () -> "queue " + queueIndex + " is not running");
    }

    /** Posts {@code task} to an IOThread and waits until it completes the future it is given. */
    private int await(PassLoop ioThread, Consumer<CoroutineFuture<Integer>> task) {
        CoroutineFuture<Integer> done = new CoroutineFuture<>(controlLoop);
        ioThread.execute(() -> {
            try {
                task.accept(done);
            } catch (Throwable t) {
                done.fail(t);
            }
        });
        return done.await();
    }

    @Override
    public void close() {
        for (VirtioBlkQueue queue : queues) {
            if (queue != null) {
                throw new IllegalStateException(name + ": closed while a queue runs");
            }
        }
        if (inPossession) {
            disk.leave();
        }
    }
}

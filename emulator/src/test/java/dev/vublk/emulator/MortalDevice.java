// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator;

import dev.vublk.emulator.virtioblk.VirtioBlkDevice;
import dev.vublk.vhostuser.QueueEvents;
import dev.vublk.vhostuser.VhostUserDevice;
import dev.vublk.vhostuser.memory.GuestMemory;
import dev.vublk.vhostuser.protocol.VhostUserProtocolException;
import dev.vublk.vhostuser.virtqueue.InflightBlock;
import dev.vublk.vhostuser.virtqueue.InflightFaults;
import dev.vublk.vhostuser.virtqueue.QueueLog;
import dev.vublk.vhostuser.virtqueue.VirtqueueSetup;
import java.util.function.IntConsumer;
import org.jspecify.annotations.Nullable;

/**
 * The real device, with faults in the in-flight blocks of its queues: where one throws, the queue is broken, and touches
 * neither ring nor region any more.
 *
 * @param beforeStop run on the control loop when a queue is about to be stopped
 * @param afterStart run on the control loop with the index of a queue that has been started
 */
public record MortalDevice(VirtioBlkDevice device, InflightFaults faults, Runnable beforeStop, IntConsumer afterStart)
        implements VhostUserDevice {
    public MortalDevice(VirtioBlkDevice device, InflightFaults faults, Runnable beforeStop) {
        this(device, faults, beforeStop, queue -> {});
    }

    public MortalDevice(VirtioBlkDevice device, InflightFaults faults) {
        this(device, faults, () -> {});
    }

    @Override
    public void startQueue(VirtqueueSetup setup) throws VhostUserProtocolException {
        InflightBlock block = setup.inflight();
        device.startQueue(block == null ? setup : setup.withInflight(block.withFaults(faults)));
        afterStart.accept(setup.queueIndex());
    }

    @Override
    public void attach(QueueEvents events) {
        device.attach(events);
    }

    @Override
    public void kickQueue(int queueIndex) {
        device.kickQueue(queueIndex);
    }

    @Override
    public void translated(int queueIndex, long[] misses, long[] refused) {
        device.translated(queueIndex, misses, refused);
    }

    @Override
    public void awaitUnused(int queueIndex, long firstIova, long lastIova) {
        device.awaitUnused(queueIndex, firstIova, lastIova);
    }

    @Override
    public int queueCountMax() {
        return device.queueCountMax();
    }

    @Override
    public int queueSizeMax() {
        return device.queueSizeMax();
    }

    @Override
    public boolean packedRings() {
        return device.packedRings();
    }

    @Override
    public long deviceFeatures() {
        return device.deviceFeatures();
    }

    @Override
    public void featuresAcked(long features) {
        device.featuresAcked(features);
    }

    @Override
    public byte[] configSpace() {
        return device.configSpace();
    }

    @Override
    public boolean writeConfigSpace(int offset, byte[] data) {
        return device.writeConfigSpace(offset, data);
    }

    @Override
    public int stopQueue(int queueIndex, boolean leaveUnfinished) {
        beforeStop.run();
        return device.stopQueue(queueIndex, leaveUnfinished);
    }

    @Override
    public void setCallFd(int queueIndex, int callFd) {
        device.setCallFd(queueIndex, callFd);
    }

    @Override
    public void setErrFd(int queueIndex, int errFd) {
        device.setErrFd(queueIndex, errFd);
    }

    @Override
    public void setLog(int queueIndex, @Nullable QueueLog log) {
        device.setLog(queueIndex, log);
    }

    @Override
    public void handOver() {
        device.handOver();
    }

    @Override
    public void extendMemory(GuestMemory memory) {
        device.extendMemory(memory);
    }

    @Override
    public void close() {
        device.close();
    }
}

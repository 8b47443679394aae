// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser;

import dev.vublk.vhostuser.linux.FileStatus;
import dev.vublk.vhostuser.memory.GuestMemory;
import dev.vublk.vhostuser.memory.HostMemory;
import dev.vublk.vhostuser.virtqueue.QueueLog;
import dev.vublk.vhostuser.virtqueue.VirtqueueSetup;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/** A device that does nothing but write down what the session does with it, and checks the session's promises. */
public final class RecordingDevice implements VhostUserDevice {
    public static final int QUEUES = 4;
    public static final int QUEUE_SIZE_MAX = 1024;
    public static final long FEATURES = 1L << 6 | 1L << 9 | 1L << 11;
    public static final int WCE_OFFSET = 32;

    /** What was called, in order: "features 140000040", "start 0", "stop 0", ... */
    public final List<String> calls = new CopyOnWriteArrayList<>();

    public final Map<Integer, VirtqueueSetup> running = new ConcurrentHashMap<>();
    public final List<VirtqueueSetup> setups = new CopyOnWriteArrayList<>();
    public final byte[] config = new byte[60];

    /** Where running queues log, those that do. */
    public final Map<Integer, QueueLog> logs = new ConcurrentHashMap<>();

    /** What the next stop returns, by queue: as if so many requests had been taken. */
    public final Map<Integer, Integer> basesAtStop = new ConcurrentHashMap<>();

    public volatile boolean failStop;
    public volatile boolean failStart;

    private volatile @Nullable QueueEvents events;
    private final CountDownLatch closed = new CountDownLatch(1);

    public RecordingDevice() {
        for (int i = 0; i < config.length; i++) {
            config[i] = (byte) (i + 1);
        }
    }

    @Override
    public void attach(QueueEvents newEvents) {
        promise(calls.isEmpty(), "attached late");
        events = newEvents;
    }

    /** Where to report what happens to queues; the control loop must not be doing anything else. */
    public QueueEvents events() {
        return Objects.requireNonNull(events);
    }

    @Override
    public void kickQueue(int queueIndex) {
        promise(running.containsKey(queueIndex), "kick for a queue that does not run");
        calls.add("kick " + queueIndex);
    }

    @Override
    public int queueCountMax() {
        return QUEUES;
    }

    @Override
    public int queueSizeMax() {
        return QUEUE_SIZE_MAX;
    }

    @Override
    public boolean packedRings() {
        return true;
    }

    @Override
    public long deviceFeatures() {
        // A bit that is not the device's to offer (24, NOTIFY_ON_EMPTY) must be kept out by the session.
        return FEATURES | 1L << 24;
    }

    @Override
    public void featuresAcked(long features) {
        promise(running.isEmpty(), "features changed under a running queue");
        calls.add("features " + Long.toHexString(features));
    }

    @Override
    public byte[] configSpace() {
        return config.clone();
    }

    @Override
    public boolean writeConfigSpace(int offset, byte[] data) {
        if (offset != WCE_OFFSET || data.length != 1) {
            return false;
        }
        config[offset] = data[0];
        calls.add("config " + offset + "=" + data[0]);
        return true;
    }

    @Override
    public void startQueue(VirtqueueSetup setup) {
        if (failStart) {
            throw new IllegalStateException("start fails on purpose");
        }
        promise(running.put(setup.queueIndex(), setup) == null, "started twice");
        setups.add(setup);
        if (setup.log() != null) {
            logs.put(setup.queueIndex(), setup.log());
        }
        calls.add("start " + setup.queueIndex());
    }

    @Override
    public int stopQueue(int queueIndex, boolean leaveUnfinished) {
        if (failStop) {
            throw new IllegalStateException("stop fails on purpose");
        }
        VirtqueueSetup setup = running.remove(queueIndex);
        if (setup == null) {
            throw broken("stopped while not running");
        }
        // A queue that drains touches its ring and its descriptors for the last time; if the ring were unmapped
        // already, this
        // would end the process.
        HostMemory.getInt(setup.usedHostAddress());
        promise(setup.kickFd() < 0 || FileStatus.ofDescriptor(setup.kickFd()) != null, "kick closed under a queue");
        logs.remove(queueIndex);
        calls.add("stop " + queueIndex + (leaveUnfinished ? " leaving requests" : ""));
        Integer base = basesAtStop.remove(queueIndex);
        return base == null ? setup.base() : base;
    }

    @Override
    public void setCallFd(int queueIndex, int callFd) {
        promise(running.containsKey(queueIndex), "call descriptor for a queue that does not run");
        calls.add("call " + queueIndex);
    }

    @Override
    public void setErrFd(int queueIndex, int errFd) {
        promise(running.containsKey(queueIndex), "error descriptor for a queue that does not run");
        calls.add("err " + queueIndex);
    }

    @Override
    public void extendMemory(GuestMemory memory) {
        promise(!running.isEmpty(), "memory for nobody");
        calls.add("memory " + memory.regionCount());
    }

    @Override
    public void translated(int queueIndex, long[] misses, long[] refused) {
        calls.add("translated " + queueIndex + " " + misses.length + " " + refused.length);
    }

    @Override
    public void awaitUnused(int queueIndex, long firstIova, long lastIova) {
        promise(running.containsKey(queueIndex), "waiting for a queue that does not run");
        calls.add("unused " + queueIndex);
    }

    @Override
    public void setLog(int queueIndex, @Nullable QueueLog log) {
        promise(running.containsKey(queueIndex), "log for a queue that does not run");
        if (log == null) {
            logs.remove(queueIndex);
        } else {
            logs.put(queueIndex, log);
        }
        calls.add("log " + queueIndex + (log == null ? " off" : ""));
    }

    @Override
    public void handOver() {
        promise(running.isEmpty(), "handed over while a queue runs");
        calls.add("handover");
    }

    @Override
    public void close() {
        promise(closed.getCount() == 1, "closed twice");
        calls.add("close");
        closed.countDown();
    }

    /** Waits until the session has ended. */
    public void awaitClosed() throws InterruptedException {
        if (!closed.await(20, TimeUnit.SECONDS)) {
            throw new AssertionError("the session did not end");
        }
    }

    /** The promises that the session has broken. */
    public List<String> broken() {
        return calls.stream().filter(call -> call.startsWith("BROKEN")).toList();
    }

    private void promise(boolean kept, String what) {
        if (!kept) {
            throw broken(what);
        }
    }

    private IllegalStateException broken(String what) {
        calls.add("BROKEN " + what);
        return new IllegalStateException(what);
    }

    /** What the running queue was started with. */
    public VirtqueueSetup setupOf(int queueIndex) {
        VirtqueueSetup setup = running.get(queueIndex);
        if (setup == null) {
            throw new AssertionError("queue " + queueIndex + " does not run");
        }
        return setup;
    }

    public VirtqueueSetup lastSetup() {
        return setups.get(setups.size() - 1);
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser;

import dev.vublk.vhostuser.memory.GuestMemory;
import dev.vublk.vhostuser.protocol.VhostUserProtocolException;
import dev.vublk.vhostuser.virtqueue.QueueLog;
import dev.vublk.vhostuser.virtqueue.VirtqueueSetup;
import org.jspecify.annotations.Nullable;

/**
 * What a device offers one session. A session makes a new device for each connection and is its only caller, on the
 * control loop. Calls may wait (suspending the calling coroutine): when one returns, what it says has happened.
 *
 * <p>The session guarantees: a queue is started at most once until it is stopped; memory and descriptors handed over stay
 * valid until {@link #stopQueue} or the replacing call has returned.
 */
public interface VhostUserDevice extends AutoCloseable {

    /** Where the device reports what happens to its queues. The first call. */
    void attach(QueueEvents events);

    /** How many queues a front end may use: the answer to GET_QUEUE_NUM. */
    int queueCountMax();

    /** The largest queue size accepted, a power of two up to 32768. */
    int queueSizeMax();

    /** Whether the front end may choose packed rings. */
    boolean packedRings();

    /** The device's own feature bits (0..23 and 50..63); the session adds those of ring and transport. */
    long deviceFeatures();

    /** The front end acknowledged these features (ring and transport bits too, but LOG_ALL). No queue runs meanwhile. */
    void featuresAcked(long features);

    /** The configuration space as it is now, at most 256 bytes. */
    byte[] configSpace();

    /**
     * The front end writes {@code data} at {@code offset} of the configuration space.
     *
     * @return whether that is a writable field and the value was taken
     */
    boolean writeConfigSpace(int offset, byte[] data);

    /**
     * Starts a queue: its ring is looked at on the first kick, or at once when the setup says so.
     *
     * @throws VhostUserProtocolException the device cannot be used now (the reason has been logged): the queue does not run,
     *     and the front end is told
     */
    void startQueue(VirtqueueSetup setup) throws VhostUserProtocolException;

    /**
     * Stops a running queue: nothing more is taken from the ring, requests in flight are completed and published.
     *
     * @param leaveUnfinished what need not be completed for the device to be at rest may stay in the in-flight region, for the
     *     next back end or the next start; does nothing for a queue without one
     * @return where to go on, as in {@link VirtqueueSetup#base}: what GET_VRING_BASE answers
     */
    int stopQueue(int queueIndex, boolean leaveUnfinished);

    /** The front end kicks a running queue by a message. */
    void kickQueue(int queueIndex);

    /** Replaces a running queue's call eventfd (-1: the driver polls). The old one is no longer used on return. */
    void setCallFd(int queueIndex, int callFd);

    /** Replaces a running queue's error eventfd (-1: none). The old one is no longer used on return. */
    void setErrFd(int queueIndex, int errFd);

    /** Lets running queues use a snapshot that has all regions they used before, and more. */
    void extendMemory(GuestMemory memory);

    /**
     * The front end was asked for what a running queue misses: it looks again now.
     *
     * @param misses as the queue reported them; of another report than its latest it takes no notice
     * @param refused what the guest's IOMMU does not let the device use
     */
    void translated(int queueIndex, long[] misses, long[] refused);

    /** Waits until no request of a running queue uses I/O virtual addresses of that range, which have become invalid. */
    void awaitUnused(int queueIndex, long firstIova, long lastIova);

    /**
     * Lets a running queue log what it writes to guest memory from now on: elsewhere than before, or no more (null).
     * Requests in flight are logged by the new one when they end; nothing is written to the old one after the return.
     */
    void setLog(int queueIndex, @Nullable QueueLog log);

    /**
     * The front end has stopped every queue while writes were being logged: the guest may go on in another process, with
     * another back end, as soon as this returns. When a queue is started again after all, it goes on here.
     */
    void handOver();

    /** The connection is over; every queue has been stopped. */
    @Override
    void close();
}

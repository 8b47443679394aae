// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser;

import dev.vublk.vhostuser.memory.GuestMemory;
import dev.vublk.vhostuser.virtqueue.VirtqueueSetup;

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

    /** The front end acknowledged these features (ring and transport bits too). No queue runs meanwhile. */
    void featuresAcked(long features);

    /** The configuration space as it is now, at most 256 bytes. */
    byte[] configSpace();

    /**
     * The front end writes {@code data} at {@code offset} of the configuration space.
     *
     * @return whether that is a writable field and the value was taken
     */
    boolean writeConfigSpace(int offset, byte[] data);

    /** Starts a queue: its ring is looked at on the first kick, or at once when the setup says so. */
    void startQueue(VirtqueueSetup setup);

    /**
     * Stops a running queue: nothing more is taken from the ring, requests in flight are completed and published.
     *
     * @return where to go on, as in {@link VirtqueueSetup#base}: what GET_VRING_BASE answers
     */
    int stopQueue(int queueIndex);

    /** The front end kicks a running queue by a message. */
    void kickQueue(int queueIndex);

    /** Replaces a running queue's call eventfd (-1: the driver polls). The old one is no longer used on return. */
    void setCallFd(int queueIndex, int callFd);

    /** Replaces a running queue's error eventfd (-1: none). The old one is no longer used on return. */
    void setErrFd(int queueIndex, int errFd);

    /** Lets running queues use a snapshot that has all regions they used before, and more. */
    void extendMemory(GuestMemory memory);

    /** The connection is over; every queue has been stopped. */
    @Override
    void close();
}

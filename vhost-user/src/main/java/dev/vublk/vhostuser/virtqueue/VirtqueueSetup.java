// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.virtqueue;

import dev.vublk.vhostuser.memory.GuestMemory;
import dev.vublk.vhostuser.memory.Iotlb;
import org.jspecify.annotations.Nullable;

/**
 * Everything a queue needs to start, checked by the control side and handed to its IOThread once.
 *
 * @param queueIndex index of the queue in the device
 * @param size number of descriptors, a power of two for a split ring
 * @param base where to go on: the next available index of a split ring, or a {@link PackedRingBase} that fits the size
 * @param descHostAddress descriptor table or ring, 16-byte aligned; the whole lies in one region of {@code memory}
 * @param availHostAddress driver area, whole in one region; aligned to 2 bytes, in a packed ring to 4
 * @param usedHostAddress device area, 4-byte aligned, whole in one region
 * @param features acknowledged virtio features
 * @param kickFd eventfd that the driver writes; {@link #NO_FD} when it never kicks (the ring must then be polled), {@link
 *     #IN_BAND} when it kicks by messages
 * @param callFd eventfd that the device writes; {@link #NO_FD} when the driver polls, {@link #IN_BAND} when it waits for messages
 * @param errFd eventfd written when the queue breaks, or {@link #NO_FD}, or {@link #IN_BAND}
 * @param startNow whether to look at the ring at once rather than on the first kick: the ring has been in use before
 * @param memory the guest's memory as of the start
 * @param inflight where to keep what is in flight; its content decides where to go on, not {@code base}. Null: nowhere
 * @param log where to log what is written, or null
 * @param iotlb what translates the addresses in descriptors; null: they are guest-physical
 */
public record VirtqueueSetup(
        int queueIndex,
        int size,
        int base,
        long descHostAddress,
        long availHostAddress,
        long usedHostAddress,
        long features,
        int kickFd,
        int callFd,
        int errFd,
        boolean startNow,
        GuestMemory memory,
        @Nullable InflightBlock inflight,
        @Nullable QueueLog log,
        @Nullable Iotlb iotlb) {
    /** There is no descriptor: whoever would be signalled polls. */
    public static final int NO_FD = -1;

    /** There is no descriptor: a message takes its place (VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS). */
    public static final int IN_BAND = -2;

    /** The same with another block: for tests that let a queue fail. */
    public VirtqueueSetup withInflight(@Nullable InflightBlock newInflight) {
        return new VirtqueueSetup(
                queueIndex,
                size,
                base,
                descHostAddress,
                availHostAddress,
                usedHostAddress,
                features,
                kickFd,
                callFd,
                errFd,
                startNow,
                memory,
                newInflight,
                log,
                iotlb);
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.virtqueue;

import dev.vublk.vhostuser.memory.GuestMemory;

/**
 * The device side of a virtqueue (virtio 1.2 section 2.6): takes chains, returns used elements, decides on notifications.
 * Runs on its IOThread.
 *
 * <p>The ring is written by the guest at the same time. Every field of it is read once into a local, checked, and the
 * local is used. Whatever the guest writes there can only break this queue: {@link #pop} then returns {@link #BROKEN},
 * now and for ever. Memory that the guest took away raises {@link InternalError}; the caller breaks the queue then too.
 */
public abstract sealed class Virtqueue permits SplitVirtqueue, PackedVirtqueue {
    /** {@link #pop} filled the chain. */
    public static final int POPPED = 0;
    /** {@link #pop} found nothing. */
    public static final int EMPTY = 1;
    /** The ring holds something that no driver may write; the queue takes and returns nothing any more. */
    public static final int BROKEN = 2;

    /** Windows drivers build chains longer than the ring; at least this many descriptors are always accepted. */
    private static final int CHAIN_LENGTH_MIN = 1024;

    /** The total length of a chain is at most 2^32 bytes (section 2.7.5.2). */
    static final long CHAIN_BYTES_MAX = 1L << 32;

    final int size;
    final int chainLengthMax;

    private GuestMemory memory;
    private boolean broken;
    private String brokenReason = "";

    Virtqueue(VirtqueueSetup setup) {
        size = setup.size();
        chainLengthMax = chainLengthMax(size);
        memory = setup.memory();
    }

    /** The queue on the ring that {@code setup} describes. */
    public static Virtqueue of(VirtqueueSetup setup) {
        boolean packed = (setup.features() & VirtioFeature.VIRTIO_F_RING_PACKED) != 0;
        return packed ? new PackedVirtqueue(setup) : new SplitVirtqueue(setup);
    }

    /** The longest chain that a queue of {@code size} accepts, in descriptors. */
    public static int chainLengthMax(int size) {
        return Math.max(size, CHAIN_LENGTH_MIN);
    }

    /** In descriptors. */
    public final int size() {
        return size;
    }

    public final boolean isBroken() {
        return broken;
    }

    /** What broke the queue, for one line in the log. */
    public final String brokenReason() {
        return brokenReason;
    }

    /** Breaks the queue from outside, for example when its memory is gone. */
    public final void markBroken(String reason) {
        if (!broken) {
            broken = true;
            brokenReason = reason;
        }
    }

    final int brokenBy(String reason) {
        markBroken(reason);
        return BROKEN;
    }

    final GuestMemory memory() {
        return memory;
    }

    /** Lets translation use a snapshot that holds all regions of the present one. */
    public final void extendMemory(GuestMemory newMemory) {
        memory = newMemory;
    }

    /**
     * What GET_VRING_BASE answers when nothing is in flight: the next available index of a split ring, 16 bits, or a {@link
     * PackedRingBase}, 32 bits.
     */
    public abstract int base();

    /** Whether chains that were in flight when a predecessor died wait for {@link #pop}, which gives them out first. */
    public abstract boolean hasRecovered();

    /** Whether there is something to be taken. */
    public abstract boolean hasAvailable();

    /** Takes the next chain. Returns {@link #POPPED}, {@link #EMPTY} or {@link #BROKEN}. */
    public abstract int pop(DescriptorChain chain);

    /**
     * Returns a chain to the driver, to be seen with the next {@link #publishUsed}.
     *
     * @param writtenBytes exactly how much of the writable part was written, from its start
     */
    public abstract void pushUsed(DescriptorChain chain, int writtenBytes);

    /** Whether used elements wait for {@link #publishUsed}. */
    public abstract boolean hasUnpublished();

    /**
     * Shows the driver all used elements, once a pass.
     *
     * @return whether the driver wants to be notified of them
     */
    public abstract boolean publishUsed();

    /** Asks the driver not to kick: the ring is being looked at anyway. Cheap when it was asked before. */
    public abstract void suppressKicks();

    /**
     * Asks the driver to kick for the next chain.
     *
     * @return whether something came in just before: the caller must look again rather than wait for a kick
     */
    public abstract boolean requestKicks();

    /** Adds one buffer of the guest to the chain; returns false when that broke the queue. */
    final boolean addBuffer(DescriptorChain chain, long guestAddress, long length, boolean writable) {
        long host = memory.translate(guestAddress, length);
        if (host != GuestMemory.UNMAPPED) {
            if (length == 0 || chain.add(host, length, writable)) {
                return true;
            }
            markBroken("chain with too many buffers");
            return false;
        }
        return addBufferAcrossRegions(chain, guestAddress, length, writable);
    }

    /** A buffer may lie in several regions that adjoin for the guest but not here: then it becomes several. */
    private boolean addBufferAcrossRegions(DescriptorChain chain, long guestAddress, long length, boolean writable) {
        long at = guestAddress;
        long left = length;
        while (left > 0) {
            long piece = Math.min(left, memory.contiguousBytes(at));
            if (piece == 0) {
                markBroken("buffer outside guest memory");
                return false;
            }
            if (!chain.add(memory.translate(at, piece), piece, writable)) {
                markBroken("chain with too many buffers");
                return false;
            }
            at += piece;
            left -= piece;
        }
        return true;
    }
}

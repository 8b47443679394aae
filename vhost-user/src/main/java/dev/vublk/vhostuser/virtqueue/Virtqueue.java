// SPDX-License-Identifier: Apache-2.0
package dev.vublk.vhostuser.virtqueue;

import dev.vublk.vhostuser.linux.EventFd;
import dev.vublk.vhostuser.memory.DirtyLog;
import dev.vublk.vhostuser.memory.GuestMemory;
import dev.vublk.vhostuser.memory.Iotlb;
import org.jspecify.annotations.Nullable;

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

    /**
     * {@link #pop} found a chain whose addresses are not all translated yet, and left it in the ring: {@link #misses} tells what
     * to ask for before the next try.
     */
    public static final int UNTRANSLATED = 3;

    /** Windows drivers build chains longer than the ring; at least this many descriptors are always accepted. */
    private static final int CHAIN_LENGTH_MIN = 1024;

    /** The total length of a chain is at most 2^32 bytes (section 2.7.5.2). */
    static final long CHAIN_BYTES_MAX = 1L << 32;

    final int size;
    final int chainLengthMax;

    /** Null when addresses in descriptors are guest-physical. */
    final @Nullable QueueIotlb iotlb;

    /** The memory as of the start, in which the ring is. */
    private final GuestMemory ringMemory;

    private GuestMemory memory;
    private @Nullable QueueLog log;

    /** The ring was in use before: a predecessor may have been killed between writing to it and logging that. */
    private boolean owesLog;

    private boolean broken;
    private String brokenReason = "";

    Virtqueue(VirtqueueSetup setup) {
        size = setup.size();
        chainLengthMax = chainLengthMax(size);
        memory = setup.memory();
        ringMemory = memory;
        log = setup.log();
        owesLog = setup.startNow();
        Iotlb shared = setup.iotlb();
        iotlb = shared == null ? null : new QueueIotlb(shared, chainLengthMax);
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

    /** Lets translation use a snapshot that holds all regions of the present one. */
    public final void extendMemory(GuestMemory newMemory) {
        memory = newMemory;
    }

    /** Logs what is written from now on elsewhere than before, or no more (null). */
    public final void logTo(@Nullable QueueLog newLog) {
        log = newLog;
        logPredecessor();
    }

    /** Once there is a log: marks all that a predecessor may have written to the ring. */
    final void logPredecessor() {
        if (owesLog && log != null) {
            owesLog = false;
            logAllOfRing();
        }
    }

    /** Logs everything in the ring that a device writes. */
    abstract void logAllOfRing();

    /** Whether whoever writes to guest memory must tell of it by {@link #logWritten}. */
    public final boolean isLogging() {
        return log != null;
    }

    /**
     * Logs bytes of a chain's buffer that have been written. Called between the write and {@link #publishUsed}: a front end
     * that copied the page before the write copies it again, and one that knows the request to be done finds the mark.
     */
    public final void logWritten(long hostAddress, long lengthBytes) {
        QueueLog to = log;
        if (to != null && lengthBytes > 0) {
            markWritten(to, memory.toGuestAddress(hostAddress), lengthBytes);
        }
    }

    /**
     * As {@link #logWritten}, bytes of the used ring (the device area), where those are logged.
     *
     * @param usedHostAddress where the used ring begins
     */
    final void logUsed(long usedHostAddress, long offsetBytes, long lengthBytes) {
        QueueLog to = log;
        if (to == null || to.usedGuestAddress() == QueueLog.UNLOGGED) {
            return;
        }
        if (iotlb == null) {
            markWritten(to, to.usedGuestAddress() + offsetBytes, lengthBytes);
        } else {
            logRing(usedHostAddress + offsetBytes, lengthBytes); // The address given is one of the IOMMU's.
        }
    }

    /** As {@link #logWritten}, bytes of the ring itself, whose pages an IOMMU may have put together. */
    final void logRing(long hostAddress, long lengthBytes) {
        QueueLog to = log;
        if (to == null) {
            return;
        }
        long at = hostAddress;
        long left = lengthBytes;
        while (left > 0) {
            long piece = Math.min(left, DirtyLog.PAGE_BYTES - (at & (DirtyLog.PAGE_BYTES - 1)));
            markWritten(to, ringMemory.toGuestAddress(at), piece);
            at += piece;
            left -= piece;
        }
    }

    private static void markWritten(QueueLog to, long guestAddress, long lengthBytes) {
        to.pages().markWritten(guestAddress, lengthBytes);
        if (to.eventFd() >= 0) {
            EventFd.signal(to.eventFd());
        }
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

    /** Takes the next chain. Returns {@link #POPPED}, {@link #EMPTY}, {@link #BROKEN} or {@link #UNTRANSLATED}. */
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

    /** Whether an IOMMU translates: requests then tell when they are done with ({@link DescriptorChain#forgetIovas}). */
    public final boolean isTranslating() {
        return iotlb != null;
    }

    /** What {@link #UNTRANSLATED} was about, as {@link IovaMiss}es. */
    public final long[] misses() {
        return iotlb == null ? new long[0] : iotlb.misses();
    }

    /** What of {@link #misses} the guest's IOMMU refuses: the next chain that needs it is a faulty one. */
    public final void refused(long... refused) {
        if (iotlb != null) {
            iotlb.refused(refused);
        }
    }

    /** Where an indirect table can be read, or {@link GuestMemory#UNMAPPED}. */
    final long table(long address, long lengthBytes) {
        return iotlb == null ? memory.translate(address, lengthBytes) : iotlb.table(address, lengthBytes);
    }

    /** What {@link #pop} returns when {@link #table} found none. */
    final int withoutTable() {
        return iotlb != null && iotlb.isMissing() ? UNTRANSLATED : brokenBy("indirect table outside guest memory");
    }

    /** What {@link #pop} returns when it has gone through a whole chain. */
    final int walked(DescriptorChain chain) {
        return iotlb == null ? POPPED : iotlb.end(chain);
    }

    /** Adds one buffer of the guest to the chain; returns false when that broke the queue. */
    final boolean addBuffer(DescriptorChain chain, long guestAddress, long length, boolean writable) {
        if (iotlb != null) {
            return addTranslated(iotlb, chain, guestAddress, length, writable);
        }
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

    private boolean addTranslated(
            QueueIotlb translation, DescriptorChain chain, long iova, long length, boolean writable) {
        if (translation.add(chain, iova, length, writable)) {
            return true;
        }
        markBroken("chain with too many buffers");
        return false;
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

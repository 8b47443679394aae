// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.linux;

import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.vhostuser.linux.Errno;
import dev.vublk.vhostuser.linux.FileDescriptor;
import dev.vublk.vhostuser.linux.SharedMapping;
import dev.vublk.vhostuser.memory.HostMemory;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.VarHandle;

/**
 * One io_uring: submissions in, completions out, by plain stores and loads. Made on any thread, used by the one that called
 * {@link #enable} only; nothing on the way of an operation allocates.
 *
 * <p>The two queues and the array of submissions are the kernel's memory, mapped for as long as the ring is open:
 *
 * <pre>
 *   sq head ... tail   indexes (always i = i, written once) of    sqes[i]   64 bytes each
 *   cq head ... tail   cqes[i], 16 bytes each
 * </pre>
 *
 * <p>Completions are made in {@link #submit} and {@link #submitAndComplete} where the kernel knows {@code DEFER_TASKRUN}; on an older
 * one they appear by themselves.
 */
public final class IoUring implements AutoCloseable {
    private static final int EINVAL = 22;

    /** From the newest kernels' way to what all have; an older kernel refuses what it does not know with EINVAL. */
    private static final int[] SETUP_FLAGS = {
        IoUringLayout.IORING_SETUP_CQSIZE
                | IoUringLayout.IORING_SETUP_SUBMIT_ALL
                | IoUringLayout.IORING_SETUP_R_DISABLED
                | IoUringLayout.IORING_SETUP_SINGLE_ISSUER
                | IoUringLayout.IORING_SETUP_DEFER_TASKRUN
                | IoUringLayout.IORING_SETUP_TASKRUN_FLAG,
        IoUringLayout.IORING_SETUP_CQSIZE
                | IoUringLayout.IORING_SETUP_SUBMIT_ALL
                | IoUringLayout.IORING_SETUP_COOP_TASKRUN
                | IoUringLayout.IORING_SETUP_TASKRUN_FLAG,
        IoUringLayout.IORING_SETUP_CQSIZE,
    };

    /** How many ways there are to make a ring. */
    static final int WAYS = SETUP_FLAGS.length;

    // The scratch block: struct io_uring_params at 0, then
    private static final int SCRATCH_FD = 128;
    private static final int SCRATCH_ERRNO = 192;
    private static final int SCRATCH_BYTES = 256;

    private final long scratch;
    private final MemorySegment errno;
    private final int fd;
    private final int entries;
    private final boolean deferring;
    private final boolean disabled;

    private final long rings;
    private final long ringsBytes;
    private final long sqes;

    private final long sqHeadAddress;
    private final long sqTailAddress;
    private final long sqFlagsAddress;
    private final int sqMask;
    private final long cqHeadAddress;
    private final long cqTailAddress;
    private final long cqFlagsAddress;
    private final long cqes;
    private final int cqMask;

    /** Where the next submission goes; the kernel's tail follows in {@link #submit}. */
    private int sqTail;
    /** The next completion. */
    private int cqHead;
    /** What the kernel's flags of the completion queue say. */
    private boolean signalling = true;

    private boolean closed;

    /**
     * Throws {@link IllegalStateException}, with the reason, when the kernel refuses.
     *
     * @param entries of both queues, a power of two
     */
    public IoUring(int entries) {
        this(entries, 0);
    }

    /**
     * As if the kernel knew no better.
     *
     * @param firstWay the way of making a ring that is tried first, less than {@link #WAYS}
     */
    IoUring(int entries, int firstWay) {
        this.entries = entries;
        scratch = NativeMemory.allocateZeroed(SCRATCH_BYTES);
        errno = Syscall.errnoAt(scratch + SCRATCH_ERRNO);
        int way = firstWay;
        int result = setUp(way);
        while (result == -EINVAL && ++way < WAYS) {
            result = setUp(way);
        }
        fd = result;
        checkMade("io_uring_setup", result, 0, 0);
        int flags = HostMemory.getInt(scratch + IoUringLayout.PARAMS_FLAGS);
        deferring = (flags & IoUringLayout.IORING_SETUP_DEFER_TASKRUN) != 0;
        disabled = (flags & IoUringLayout.IORING_SETUP_R_DISABLED) != 0;
        if ((HostMemory.getInt(scratch + IoUringLayout.PARAMS_FEATURES) & IoUringLayout.IORING_FEAT_SINGLE_MMAP) == 0) {
            checkMade("io_uring of a kernel before 5.4", -EINVAL, 0, 0);
        }
        long sqOff = scratch + IoUringLayout.PARAMS_SQ_OFF;
        long cqOff = scratch + IoUringLayout.PARAMS_CQ_OFF;
        int sqEntries = HostMemory.getInt(scratch + IoUringLayout.PARAMS_SQ_ENTRIES);
        int cqEntries = HostMemory.getInt(scratch + IoUringLayout.PARAMS_CQ_ENTRIES);
        long sqArray = HostMemory.getInt(sqOff + IoUringLayout.SQ_OFF_ARRAY);
        long cqesOff = HostMemory.getInt(cqOff + IoUringLayout.CQ_OFF_CQES);
        ringsBytes = Math.max(
                sqArray + (long) sqEntries * Integer.BYTES, cqesOff + (long) cqEntries * IoUringLayout.CQE_BYTES);
        rings = SharedMapping.map(fd, IoUringLayout.IORING_OFF_SQ_RING, ringsBytes);
        checkMade("mmap of io_uring's queues", rings, 0, 0);
        sqes = SharedMapping.map(fd, IoUringLayout.IORING_OFF_SQES, sqesBytes());
        checkMade("mmap of io_uring's submissions", sqes, rings, ringsBytes);

        sqHeadAddress = rings + HostMemory.getInt(sqOff + IoUringLayout.OFF_HEAD);
        sqTailAddress = rings + HostMemory.getInt(sqOff + IoUringLayout.OFF_TAIL);
        sqFlagsAddress = rings + HostMemory.getInt(sqOff + IoUringLayout.SQ_OFF_FLAGS);
        sqMask = HostMemory.getInt(rings + HostMemory.getInt(sqOff + IoUringLayout.OFF_RING_MASK));
        cqHeadAddress = rings + HostMemory.getInt(cqOff + IoUringLayout.OFF_HEAD);
        cqTailAddress = rings + HostMemory.getInt(cqOff + IoUringLayout.OFF_TAIL);
        cqFlagsAddress = rings + HostMemory.getInt(cqOff + IoUringLayout.CQ_OFF_FLAGS);
        cqes = rings + cqesOff;
        cqMask = HostMemory.getInt(rings + HostMemory.getInt(cqOff + IoUringLayout.OFF_RING_MASK));
        sqTail = HostMemory.getInt(sqTailAddress);
        cqHead = HostMemory.getInt(cqHeadAddress);
        for (int i = 0; i < sqEntries; i++) {
            HostMemory.putInt(rings + sqArray + (long) i * Integer.BYTES, i);
        }
    }

    private int setUp(int way) {
        NativeMemory.zero(scratch, IoUringLayout.PARAMS_BYTES);
        HostMemory.putInt(scratch + IoUringLayout.PARAMS_FLAGS, SETUP_FLAGS[way]);
        HostMemory.putInt(scratch + IoUringLayout.PARAMS_CQ_ENTRIES, entries);
        return Syscall.call(errno, IoUringLayout.SYS_IO_URING_SETUP, entries, scratch, 0, 0, 0, 0);
    }

    private long sqesBytes() {
        return (long) entries * IoUringLayout.SQE_BYTES;
    }

    /** Gives everything back and throws when {@code result} is an errno. */
    private void checkMade(String call, long result, long mapping, long mappingBytes) {
        if (result >= 0) {
            return;
        }
        String reason = call + ": " + Errno.describe((int) result);
        if (mapping != 0) {
            SharedMapping.unmap(mapping, mappingBytes);
        }
        if (fd >= 0) {
            FileDescriptor.close(fd);
        }
        NativeMemory.free(scratch);
        throw new IllegalStateException(reason);
    }

    /** Makes the calling thread the one that uses the ring. Once, before anything else. */
    public void enable() {
        if (disabled) {
            check("io_uring_register ENABLE_RINGS", register(IoUringLayout.IORING_REGISTER_ENABLE_RINGS, 0, 0));
        }
    }

    /** The kernel signals {@code eventFd} when there is something to complete; see {@link #suppressSignals}. */
    public void signalTo(int eventFd) {
        HostMemory.putInt(scratch + SCRATCH_FD, eventFd);
        check("io_uring_register EVENTFD", register(IoUringLayout.IORING_REGISTER_EVENTFD, scratch + SCRATCH_FD, 1));
    }

    private int register(int operation, long argumentAddress, int count) {
        return Syscall.call(errno, IoUringLayout.SYS_IO_URING_REGISTER, fd, operation, argumentAddress, count, 0, 0);
    }

    private static void check(String call, int result) {
        if (result < 0) {
            throw new IllegalStateException(call + ": " + Errno.describe(result));
        }
    }

    /** Whether {@link #suppressSignals} does anything. */
    boolean canSuppressSignals() {
        // Without deferring, completions come from elsewhere, and that side has no barrier between its store of the
        // tail and
        // its load of the flag: a signal could be lost. Such a kernel signals always.
        return deferring;
    }

    /** Who looks by itself needs no signals: a signal is a write and a wake-up. Signals may still come. */
    public void suppressSignals() {
        if (signalling && canSuppressSignals()) {
            signalling = false;
            HostMemory.putInt(cqFlagsAddress, IoUringLayout.IORING_CQ_EVENTFD_DISABLED);
        }
    }

    /**
     * From now on the kernel signals. What it was silent about before is found by {@link #submitAndComplete}, to be called next.
     *
     * <p>[A] The store is before the kernel looks for deferred work in {@code submitAndComplete}. Who defers work puts it on the list
     * with a full barrier and then looks at the flag. So either it sees the flag cleared and signals, or {@code submitAndComplete}
     * sees the work.
     */
    public void allowSignals() {
        if (!signalling) {
            signalling = true;
            HostMemory.putInt(cqFlagsAddress, 0);
            VarHandle.fullFence();
        }
    }

    /**
     * Queues one operation; {@link #submit} hands it over. The caller has at most as many in flight as there are entries, so
     * that neither queue can overflow.
     *
     * @param lengthOrCount {@code len} of the submission
     * @param operationFlags {@code rw_flags}, {@code fsync_flags} and their like
     */
    public void prepare(
            byte opcode,
            int targetFd,
            long offset,
            long address,
            int lengthOrCount,
            int operationFlags,
            long userData) {
        if (sqTail - HostMemory.getIntAcquire(sqHeadAddress) >= entries) {
            throw new IllegalStateException("more operations than the ring has entries");
        }
        long sqe = sqes + (long) (sqTail & sqMask) * IoUringLayout.SQE_BYTES;
        HostMemory.putLong(sqe + IoUringLayout.SQE_OPCODE_AND_FD, (opcode & 0xffL) | (long) targetFd << 32);
        HostMemory.putLong(sqe + IoUringLayout.SQE_OFF, offset);
        HostMemory.putLong(sqe + IoUringLayout.SQE_ADDR, address);
        HostMemory.putLong(
                sqe + IoUringLayout.SQE_LEN_AND_FLAGS, (lengthOrCount & 0xffff_ffffL) | (long) operationFlags << 32);
        HostMemory.putLong(sqe + IoUringLayout.SQE_USER_DATA, userData);
        sqTail++;
    }

    /** Operations that are queued and that the kernel has not taken. */
    public int unsubmitted() {
        return sqTail - HostMemory.getIntAcquire(sqHeadAddress);
    }

    /**
     * Hands over what is queued, and lets the kernel complete what it has deferred: one system call, or none when there is
     * neither.
     *
     * @return 0 or more, or a negative errno; {@code EINTR}, {@code EAGAIN} and {@code EBUSY} mean that some of it is still
     *     to be handed over
     */
    public int submit() {
        return submit(Integer.MAX_VALUE);
    }

    /** As {@link #submit}, at most so many of the oldest. */
    public int submit(int most) {
        int count = Math.min(unsubmitted(), most);
        boolean deferred = (HostMemory.getIntAcquire(sqFlagsAddress)
                        & (IoUringLayout.IORING_SQ_TASKRUN | IoUringLayout.IORING_SQ_CQ_OVERFLOW))
                != 0;
        if (count == 0 && !deferred) {
            return 0;
        }
        // After the stores of the submissions. The kernel's own load in the system call pairs with it.
        HostMemory.putIntRelease(sqTailAddress, sqTail);
        return enter(count, deferred ? IoUringLayout.IORING_ENTER_GETEVENTS : 0);
    }

    /** As {@link #submit}, always by a system call, which completes what was deferred until its end. */
    public int submitAndComplete() {
        int count = unsubmitted();
        // As in submit.
        HostMemory.putIntRelease(sqTailAddress, sqTail);
        return enter(count, IoUringLayout.IORING_ENTER_GETEVENTS);
    }

    private int enter(int count, int flags) {
        return Syscall.call(errno, IoUringLayout.SYS_IO_URING_ENTER, fd, count, 0, flags, 0, 0);
    }

    /** How many completions are there to be read. */
    public int completions() {
        // Before the loads of the completions; pairs with the kernel's release store of the tail.
        return HostMemory.getIntAcquire(cqTailAddress) - cqHead;
    }

    /** User data of the {@code index}th completion. */
    public long userData(int index) {
        return HostMemory.getLong(cqe(index) + IoUringLayout.CQE_USER_DATA);
    }

    /** Result of the {@code index}th completion. */
    public int result(int index) {
        return HostMemory.getInt(cqe(index) + IoUringLayout.CQE_RES);
    }

    private long cqe(int index) {
        return cqes + (long) (cqHead + index & cqMask) * IoUringLayout.CQE_BYTES;
    }

    /** Gives the first {@code count} completions back to the kernel. */
    public void consume(int count) {
        cqHead += count;
        // After the loads of the completions: the kernel may overwrite them from now on.
        HostMemory.putIntRelease(cqHeadAddress, cqHead);
    }

    /** Closes the ring; nothing is in flight and nobody uses it any more. Any thread. */
    @Override
    public void close() {
        if (!closed) {
            closed = true;
            SharedMapping.unmap(sqes, sqesBytes());
            SharedMapping.unmap(rings, ringsBytes);
            FileDescriptor.close(fd);
            NativeMemory.free(scratch);
        }
    }
}

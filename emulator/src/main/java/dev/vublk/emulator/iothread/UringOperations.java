// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.iothread;

import dev.vublk.blockdev.IoRing;
import dev.vublk.blockdev.TurnQueue;
import dev.vublk.emulator.coroutine.Coroutine;
import dev.vublk.emulator.coroutine.CoroutineQueue;
import dev.vublk.emulator.linux.IoUring;
import dev.vublk.vhostuser.linux.Errno;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;
import org.jspecify.annotations.Nullable;

/**
 * File operations on a ring of the loop's own, beside Netty's: each call queues a submission, suspends the calling coroutine,
 * and returns the completion's result. Runs on its IOThread, but for constructor and {@link #close}.
 *
 * <p>An operation has a slot that travels in the user data, so a completion finds its coroutine without a map. There are as
 * many slots as the ring has entries: neither queue can overflow; who finds no slot free waits for one.
 *
 * <p>While the loop is awake it looks ({@link #poll}) and the kernel signals nothing. Before it sleeps it asks for a {@link
 * SleepSignal} and looks once more ({@link #prepareToBlock}).
 */
final class UringOperations implements IoRing, AutoCloseable {
    private static final Logger LOG = LogManager.getLogger(UringOperations.class);

    private static final byte IORING_OP_READV = 1;
    private static final byte IORING_OP_WRITEV = 2;
    private static final byte IORING_OP_FSYNC = 3;
    private static final byte IORING_OP_FALLOCATE = 17;
    private static final byte IORING_OP_READ = 22;
    private static final byte IORING_OP_WRITE = 23;
    private static final int IORING_FSYNC_DATASYNC = 1;

    private static final int EBUSY = 16;

    /** By measurement: with 2, 4 and 8 a disk behind an interrupt that comes late is about as fast, and without any limit slower. */
    private static final int SUBMITTED_AT_ONCE = 4;

    /** An idle disk is asked for one first. */
    private static final int SUBMITTED_FIRST = 1;

    private final IOThread loop;
    private final TurnQueue slotTurns;
    private final @Nullable Coroutine[] waiting;
    private final int[] results;
    private final int[] freeSlots;
    private int freeCount;
    private final IoUring ring;
    /** Signalled by the kernel when there is something to complete while the loop sleeps. */
    private final SleepSignal signal;

    /** Whether the last submission before a sleep was answered before the sleep began: by the page cache, perhaps. */
    private boolean answeredAtOnce;

    private boolean closed;

    /**
     * Throws {@link IllegalStateException} when the kernel gives no ring.
     *
     * @param slots operations in flight at most, a power of two
     */
    UringOperations(IOThread loop, int slots) {
        this.loop = loop;
        CoroutineQueue slotWaiters = new CoroutineQueue(loop);
        slotTurns = new TurnQueue(() -> slotWaiters);
        waiting = new Coroutine[slots];
        results = new int[slots];
        freeSlots = new int[slots];
        for (int i = 0; i < slots; i++) {
            freeSlots[i] = slots - 1 - i;
        }
        freeCount = slots;
        signal = new SleepSignal();
        try {
            ring = new IoUring(slots);
        } catch (IllegalStateException e) {
            signal.free();
            throw e;
        }
    }

    /** What Netty's loop is to know of. */
    SleepSignal signal() {
        return signal;
    }

    /** Why a ring of {@code slots} cannot be made, or null when it can. Any thread. */
    static @Nullable String refusal(int slots) {
        try {
            new IoUring(slots).close();
            return null;
        } catch (IllegalStateException e) {
            return e.getMessage();
        }
    }

    /** The loop runs: from here on the ring is this thread's. */
    void start() {
        ring.enable();
        ring.signalTo(signal.eventFd());
        ring.suppressSignals();
    }

    /** Operations that the kernel has, or will have with the next submission. */
    int inFlight() {
        return freeSlots.length - freeCount;
    }

    @Override
    public int readv(int fd, long iovAddress, int iovCount, long offsetBytes, int rwFlags) {
        return submitAndAwait(IORING_OP_READV, fd, offsetBytes, iovAddress, iovCount, rwFlags);
    }

    @Override
    public int writev(int fd, long iovAddress, int iovCount, long offsetBytes, int rwFlags) {
        return submitAndAwait(IORING_OP_WRITEV, fd, offsetBytes, iovAddress, iovCount, rwFlags);
    }

    @Override
    public int read(int fd, long address, int lengthBytes, long offsetBytes, int rwFlags) {
        return submitAndAwait(IORING_OP_READ, fd, offsetBytes, address, lengthBytes, rwFlags);
    }

    @Override
    public int write(int fd, long address, int lengthBytes, long offsetBytes, int rwFlags) {
        return submitAndAwait(IORING_OP_WRITE, fd, offsetBytes, address, lengthBytes, rwFlags);
    }

    @Override
    public int fsync(int fd, boolean dataOnly) {
        return submitAndAwait(IORING_OP_FSYNC, fd, 0, 0, 0, dataOnly ? IORING_FSYNC_DATASYNC : 0);
    }

    @Override
    public int fallocate(int fd, int mode, long offsetBytes, long lengthBytes) {
        // The submission carries the length in addr and the mode in len (io_uring_enter(2)).
        return submitAndAwait(IORING_OP_FALLOCATE, fd, offsetBytes, lengthBytes, mode, 0);
    }

    private int submitAndAwait(byte opcode, int fd, long offset, long address, int length, int rwFlags) {
        slotTurns.await(freeCount);
        Coroutine caller = loop.currentCoroutine();
        if (caller.refuses()) {
            slotTurns.onFree();
            return -Errno.ECANCELED;
        }
        int slot = freeSlots[--freeCount];
        waiting[slot] = caller;
        ring.prepare(opcode, fd, offset, address, length, rwFlags, slot);
        loop.suspendCurrent();
        int result = results[slot];
        freeSlots[freeCount++] = slot;
        slotTurns.onFree();
        return result;
    }

    /** Hands over what was queued and takes completions in; without a system call when there is nothing to hand over. */
    void poll() {
        if (inFlight() > 0) {
            submit();
            takeCompletions();
        }
    }

    /**
     * Hands over what is queued and takes completions in, if that has brought answers the last time: then there is no need to get
     * ready for a sleep.
     *
     * @return whether it has brought some now
     */
    boolean pollForAnswersAtOnce() {
        if (!answeredAtOnce || inFlight() == 0) {
            return false;
        }
        submit();
        answeredAtOnce = takeCompletions() > 0;
        return answeredAtOnce;
    }

    /**
     * Hands over what is queued, some at a time: the kernel first prepares all that one call brings it, some microseconds each, and
     * only then tells the disk of the first.
     */
    private void submit() {
        submitFirst();
        checkEntered(ring.submit());
    }

    /** Leaves what the last call is to bring. */
    private void submitFirst() {
        int left = ring.unsubmitted();
        int step = left == inFlight() ? SUBMITTED_FIRST : SUBMITTED_AT_ONCE;
        while (left > step) {
            checkEntered(ring.submit(step));
            left -= step;
            step = SUBMITTED_AT_ONCE;
        }
    }

    /**
     * The loop is about to sleep.
     *
     * @return whether it may; when not, completions have come in or there is something to be submitted again
     */
    boolean prepareToBlock() {
        if (inFlight() == 0) {
            return true;
        }
        submitFirst();
        if (takeCompletions() == 0) {
            // Before this call the kernel was silent: its look is what makes that harmless, see [A] there.
            ring.allowSignals();
            checkEntered(ring.submitAndComplete());
            if (takeCompletions() == 0 && ring.unsubmitted() == 0) {
                signal.arm();
                return true;
            }
            ring.suppressSignals();
        }
        answeredAtOnce = true;
        return false;
    }

    /** The loop does not sleep any more. */
    void onAwake() {
        ring.suppressSignals();
    }

    private static void checkEntered(int result) {
        // Interrupted, short of memory, or completions are to be taken first: what is left is handed over in the next
        // pass.
        if (result < 0 && result != -Errno.EINTR && result != -Errno.EAGAIN && result != -EBUSY) {
            throw new IllegalStateException("io_uring_enter: " + Errno.describe(result));
        }
    }

    private int takeCompletions() {
        int count = ring.completions();
        if (count > 0) {
            for (int i = 0; i < count; i++) {
                onCompletion((int) ring.userData(i), ring.result(i));
            }
            ring.consume(count);
        }
        return count;
    }

    private void onCompletion(int slot, int result) {
        Coroutine coroutine = waiting[slot];
        if (coroutine == null) {
            throw new IllegalStateException("completion for free slot " + slot);
        }
        waiting[slot] = null;
        results[slot] = result;
        loop.wake(coroutine);
    }

    /** Operations in flight were waited for before the loop was shut down (IOThread.close). Any thread, once the loop's is gone. */
    @Override
    public void close() {
        if (closed) {
            return;
        }
        closed = true;
        if (inFlight() > 0) {
            LOG.error("{} operations are in flight while their ring is closed", inFlight());
        }
        ring.close();
        signal.free();
    }
}

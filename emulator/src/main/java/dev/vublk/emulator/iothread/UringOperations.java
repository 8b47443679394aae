// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.iothread;

import dev.vublk.blockdev.IoRing;
import dev.vublk.emulator.coroutine.Coroutine;
import dev.vublk.emulator.coroutine.CoroutineQueue;
import io.netty.channel.IoEvent;
import io.netty.channel.IoRegistration;
import io.netty.channel.uring.IoUringIoEvent;
import io.netty.channel.uring.IoUringIoHandle;
import io.netty.channel.uring.IoUringIoOps;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;
import org.jspecify.annotations.Nullable;

/**
 * File operations on the loop's ring: each call queues a submission, suspends the calling coroutine, and returns the
 * completion's result. Runs on its IOThread.
 *
 * <p>An operation has a slot that travels in the user data (16 bits: larger values cost a table look-up in Netty), so a
 * completion finds its coroutine without a map. There are fewer slots than completion queue entries: the completion
 * queue cannot overflow; who finds none free waits for one.
 */
final class UringOperations implements IoRing, IoUringIoHandle {
    private static final Logger LOG = LogManager.getLogger(UringOperations.class);

    private static final byte IORING_OP_READV = 1;
    private static final byte IORING_OP_WRITEV = 2;
    private static final byte IORING_OP_FSYNC = 3;
    private static final byte IORING_OP_FALLOCATE = 17;
    private static final byte IORING_OP_READ = 22;
    private static final byte IORING_OP_WRITE = 23;
    private static final int IORING_FSYNC_DATASYNC = 1;

    private final IOThread loop;
    private final CoroutineQueue slotWaiters;
    private final @Nullable Coroutine[] waiting;
    private final int[] results;
    private final short[] freeSlots;
    private int freeCount;
    private @Nullable IoRegistration registration;

    UringOperations(IOThread loop, int slots) {
        this.loop = loop;
        slotWaiters = new CoroutineQueue(loop);
        waiting = new Coroutine[slots];
        results = new int[slots];
        freeSlots = new short[slots];
        for (int i = 0; i < slots; i++) {
            freeSlots[i] = (short) (slots - 1 - i);
        }
        freeCount = slots;
    }

    void registeredAs(IoRegistration newRegistration) {
        registration = newRegistration;
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
        while (freeCount == 0) {
            slotWaiters.await();
        }
        short slot = freeSlots[--freeCount];
        waiting[slot] = loop.currentCoroutine();
        submit(slot, opcode, fd, offset, address, length, rwFlags);
        loop.suspendCurrent();
        int result = results[slot];
        freeSlots[freeCount++] = slot;
        if (!slotWaiters.isEmpty()) {
            slotWaiters.wakeOne();
        }
        return result;
    }

    /** Small, and apart from the wait, so that the compiler inlines all of it and the operation object never exists. */
    private void submit(short slot, byte opcode, int fd, long offset, long address, int length, int rwFlags) {
        registration()
                .submit(new IoUringIoOps(
                        opcode,
                        (byte) 0,
                        (short) 0,
                        fd,
                        offset,
                        address,
                        length,
                        rwFlags,
                        (long) slot,
                        (short) 0,
                        (short) 0,
                        0,
                        0L));
    }

    @Override
    public void handle(IoRegistration from, IoEvent event) {
        try {
            IoUringIoEvent completion = (IoUringIoEvent) event;
            int slot = (int) completion.userData();
            Coroutine coroutine = waiting[slot];
            if (coroutine == null) {
                throw new IllegalStateException("completion for free slot " + slot);
            }
            waiting[slot] = null;
            results[slot] = completion.res();
            loop.wake(coroutine);
        } catch (Throwable t) {
            // Netty would stop the loop for 100 ms on an Exception and end it on an Error.
            LOG.error("a completion was lost", t);
        }
    }

    private IoRegistration registration() {
        IoRegistration present = registration;
        if (present == null) {
            throw new IllegalStateException("the loop has not started");
        }
        return present;
    }

    @Override
    public void close() {
        // Operations in flight are waited for before the loop is shut down (IOThread.close).
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.fuzz;

import dev.vublk.blockdev.IoContext;
import dev.vublk.blockdev.IoRing;
import dev.vublk.blockdev.linux.Iovec;
import dev.vublk.emulator.coroutine.Coroutine;
import dev.vublk.emulator.coroutine.CoroutineQueue;
import dev.vublk.emulator.iothread.SimulatedLoop;
import dev.vublk.vhostuser.memory.HostMemory;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.IntSupplier;

/**
 * The system calls of a file driver on an array, at once or when the input says so, with the result that it says. It looks at
 * every address as the kernel would: when a call begins, and again when it moves data.
 */
final class FuzzDisk implements IoContext, IoRing {
    private static final int FALLOC_FL_PUNCH_HOLE = 2;

    /** The kernel's limit of one transfer, IOV_MAX. */
    private static final int IOV_MAX = 1024;

    /** The content, all zeroes when an input begins; one for all, since to make one takes longer than most inputs. */
    private static final byte[] CONTENT = new byte[Disks.BYTES];

    private static boolean isWritten;

    private final SimulatedLoop loop;
    private final byte[] content = CONTENT;
    private final List<Pending> pending = new ArrayList<>();
    private boolean delays;

    FuzzDisk(SimulatedLoop loop) {
        this.loop = loop;
    }

    /** Begins an input. */
    static void reset() {
        if (isWritten) {
            Arrays.fill(CONTENT, (byte) 0);
            isWritten = false;
        }
    }

    private final class Pending {
        private final Coroutine waiting = loop.currentCoroutine();
        private final IntSupplier call;
        private int result;

        private Pending(IntSupplier call) {
            this.call = call;
        }
    }

    /** Whether calls from now on wait for {@link #complete}. */
    void delays(boolean newDelays) {
        delays = newDelays;
    }

    /** Ends one of the calls under way, if there is any: {@code fault} 0 carries it out, an errno fails it. */
    void complete(int which, int fault) {
        if (!pending.isEmpty()) {
            Pending ended = pending.remove(which % pending.size());
            ended.result = fault == 0 ? ended.call.getAsInt() : -fault;
            loop.complete(ended.waiting);
        }
    }

    void completeAll() {
        delays = false;
        while (!pending.isEmpty()) {
            complete(0, 0);
        }
    }

    private int run(IntSupplier call) {
        if (!delays) {
            return call.getAsInt();
        }
        Pending waits = new Pending(call);
        pending.add(waits);
        loop.suspendCurrent();
        return waits.result;
    }

    private int transfer(boolean toMemory, long offset, long[] bases, long[] lengths) {
        long total = 0;
        for (int i = 0; i < bases.length; i++) {
            AccessGuard.INSTANCE.onTransfer(toMemory ? "read(2)" : "write(2)", bases[i], lengths[i]);
            total += lengths[i];
        }
        if (offset < 0 || total > Integer.MAX_VALUE || offset > content.length - total) {
            throw AccessGuard.INSTANCE.violated(total + " bytes at " + offset + " of a disk of " + content.length);
        }
        if (bases.length > IOV_MAX) {
            throw AccessGuard.INSTANCE.violated(bases.length + " buffers in one system call");
        }
        return run(() -> move(toMemory, (int) offset, bases, lengths));
    }

    private int move(boolean toMemory, int offset, long[] bases, long[] lengths) {
        isWritten |= !toMemory;
        int at = offset;
        for (int i = 0; i < bases.length; i++) {
            int length = (int) lengths[i];
            AccessGuard.INSTANCE.onTransfer("late transfer", bases[i], length);
            try {
                if (toMemory) {
                    HostMemory.copyIn(content, at, bases[i], length);
                } else {
                    HostMemory.copyOut(bases[i], content, at, length);
                }
            } catch (InternalError gone) {
                return -14; // EFAULT, as the kernel says of memory that was truncated.
            }
            at += length;
        }
        return at - offset;
    }

    @Override
    public int readv(int fd, long iovAddress, int iovCount, long offsetBytes, int rwFlags) {
        return transfer(true, offsetBytes, bases(iovAddress, iovCount), lengths(iovAddress, iovCount));
    }

    @Override
    public int writev(int fd, long iovAddress, int iovCount, long offsetBytes, int rwFlags) {
        return transfer(false, offsetBytes, bases(iovAddress, iovCount), lengths(iovAddress, iovCount));
    }

    @Override
    public int read(int fd, long address, int lengthBytes, long offsetBytes, int rwFlags) {
        return transfer(true, offsetBytes, new long[] {address}, new long[] {lengthBytes});
    }

    @Override
    public int write(int fd, long address, int lengthBytes, long offsetBytes, int rwFlags) {
        return transfer(false, offsetBytes, new long[] {address}, new long[] {lengthBytes});
    }

    @Override
    public int fsync(int fd, boolean dataOnly) {
        return run(() -> 0);
    }

    @Override
    public int fallocate(int fd, int mode, long offsetBytes, long lengthBytes) {
        if (offsetBytes < 0 || lengthBytes <= 0 || offsetBytes > content.length - lengthBytes) {
            throw AccessGuard.INSTANCE.violated("fallocate of " + lengthBytes + " at " + offsetBytes);
        }
        return run(() -> {
            if ((mode & FALLOC_FL_PUNCH_HOLE) != 0) {
                Arrays.fill(content, (int) offsetBytes, (int) (offsetBytes + lengthBytes), (byte) 0);
                return 0;
            }
            return -95; // EOPNOTSUPP: zeroes are then written as data.
        });
    }

    private static long[] bases(long iovAddress, int iovCount) {
        long[] bases = new long[iovCount];
        Arrays.setAll(bases, i -> Iovec.base(iovAddress + (long) i * Iovec.SIZE_BYTES));
        return bases;
    }

    private static long[] lengths(long iovAddress, int iovCount) {
        long[] lengths = new long[iovCount];
        Arrays.setAll(lengths, i -> Iovec.length(iovAddress + (long) i * Iovec.SIZE_BYTES));
        return lengths;
    }

    @Override
    public IoRing ring() {
        return this;
    }

    /** On this thread: there is no other. */
    @Override
    public int runBlocking(BlockingCall call) {
        return run(call::run);
    }

    @Override
    public WaitQueue newWaitQueue() {
        return new CoroutineQueue(loop);
    }
}

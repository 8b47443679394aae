// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.sim;

import dev.vublk.blockdev.IoContext;
import dev.vublk.blockdev.IoRing;
import dev.vublk.blockdev.TurnQueue;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.PosixFile;
import dev.vublk.emulator.coroutine.Coroutine;
import dev.vublk.emulator.coroutine.CoroutineQueue;
import dev.vublk.emulator.iothread.SimulatedLoop;
import dev.vublk.emulator.sim.SimulatedDisk.Call;
import dev.vublk.emulator.sim.SimulatedDisk.Operation;
import java.util.function.Function;

/** How the file driver waits on a simulated loop: its system calls are those of a simulated disk. */
final class SimulatedIoContext implements IoContext, IoRing {
    private final SimulatedWorld world;
    private final SimulatedLoop loop;
    private final SimulatedDisk disk;
    private final TurnQueue turns;
    private int callsLeft;
    private boolean isCut;

    /** @param callsMax how many calls the ring has room for at a time */
    SimulatedIoContext(SimulatedWorld world, SimulatedLoop loop, SimulatedDisk disk, int callsMax) {
        this.world = world;
        this.loop = loop;
        this.disk = disk;
        CoroutineQueue waiters = new CoroutineQueue(loop);
        turns = new TurnQueue(() -> waiters);
        callsLeft = callsMax;
    }

    /** The process is gone: whatever it still seems to ask for does not happen. */
    void cutOff() {
        isCut = true;
    }

    private int run(Function<Runnable, Operation> submission) {
        turns.await(callsLeft);
        Coroutine waiting = loop.currentCoroutine();
        if (isCut || waiting.refuses()) {
            turns.onFree();
            return isCut ? -Errno.EIO : -Errno.ECANCELED;
        }
        callsLeft--;
        Operation operation = submission.apply(() -> loop.complete(waiting));
        loop.suspendCurrent();
        callsLeft++;
        turns.onFree();
        return operation.result();
    }

    private int transfer(Call call, long offset, long[] bases, long[] lengths, int rwFlags) {
        boolean dsync = (rwFlags & PosixFile.RWF_DSYNC) != 0;
        return run(whenDone -> disk.submit(call, offset, bases, lengths, dsync, whenDone));
    }

    @Override
    public int readv(int fd, long iovAddress, int iovCount, long offsetBytes, int rwFlags) {
        return transfer(
                Call.READ,
                offsetBytes,
                SimulatedDisk.bases(iovAddress, iovCount),
                SimulatedDisk.lengths(iovAddress, iovCount),
                rwFlags);
    }

    @Override
    public int writev(int fd, long iovAddress, int iovCount, long offsetBytes, int rwFlags) {
        return transfer(
                Call.WRITE,
                offsetBytes,
                SimulatedDisk.bases(iovAddress, iovCount),
                SimulatedDisk.lengths(iovAddress, iovCount),
                rwFlags);
    }

    @Override
    public int read(int fd, long address, int lengthBytes, long offsetBytes, int rwFlags) {
        return transfer(Call.READ, offsetBytes, new long[] {address}, new long[] {lengthBytes}, rwFlags);
    }

    @Override
    public int write(int fd, long address, int lengthBytes, long offsetBytes, int rwFlags) {
        return transfer(Call.WRITE, offsetBytes, new long[] {address}, new long[] {lengthBytes}, rwFlags);
    }

    @Override
    public int fsync(int fd, boolean dataOnly) {
        return run(whenDone -> disk.submit(Call.SYNC, 0, new long[0], new long[0], false, whenDone));
    }

    @Override
    public int fallocate(int fd, int mode, long offsetBytes, long lengthBytes) {
        return run(whenDone -> disk.submitZero(mode, offsetBytes, lengthBytes, whenDone));
    }

    @Override
    public IoRing ring() {
        return this;
    }

    /** Only pauses come here: the ring has an operation for everything else that a file needs. */
    @Override
    public int runBlocking(BlockingCall call) {
        if (!isCut) {
            Coroutine waiting = loop.currentCoroutine();
            world.after(1_000_000, () -> loop.complete(waiting));
            loop.suspendCurrent();
        }
        return 0;
    }

    @Override
    public WaitQueue newWaitQueue() {
        return new CoroutineQueue(loop);
    }
}

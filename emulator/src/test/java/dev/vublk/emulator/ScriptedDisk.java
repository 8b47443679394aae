// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockLimits;
import dev.vublk.blockdev.IoContext;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * A disk in memory that tells what it is asked for, and does it when the test says so. Any thread; concurrent requests must
 * not overlap.
 */
public final class ScriptedDisk implements BlockDriver {
    private static final int TIMEOUT_S = 20;

    /** A fault of the disk's own that the log is expected to show, without a page of frames. */
    public static final class Fault extends RuntimeException {
        private static final long serialVersionUID = 1L;

        public Fault() {
            super("thrown by the test, expected in the log", null, false, false);
        }
    }

    /** One call of a channel. */
    public record Call(String name, long offsetBytes, long lengthBytes, boolean mayUnmap, boolean fua, String thread) {}

    private final BlockLimits limits;
    private final byte[] content;
    private final LinkedBlockingQueue<Call> calls = new LinkedBlockingQueue<>();
    private final List<String> driverCalls = new CopyOnWriteArrayList<>();
    private final List<Channel> channels = new CopyOnWriteArrayList<>();
    private final AtomicInteger underWay = new AtomicInteger();
    private volatile boolean held;
    private volatile int result;
    private volatile long lifetime = -1;
    private volatile @Nullable RuntimeException thrown;
    private volatile @Nullable Runnable duringNextCall;

    public ScriptedDisk(int sizeBytes) {
        this(limits(sizeBytes, true));
    }

    public ScriptedDisk(BlockLimits limits) {
        this.limits = limits;
        content = new byte[(int) limits.sizeBytes()];
    }

    public static BlockLimits limits(int sizeBytes, boolean writeback) {
        return new BlockLimits(
                sizeBytes, false, 512, 4096, 4096, 0, true, 4096, sizeBytes, true, sizeBytes, true, writeback);
    }

    @Override
    public BlockLimits limits() {
        return limits;
    }

    public byte[] content() {
        return content;
    }

    /** From now on calls wait, in the middle. */
    public ScriptedDisk hold() {
        held = true;
        return this;
    }

    /** Lets all calls go on. */
    public void release() {
        if (!held) {
            return;
        }
        held = false;
        channels.forEach(channel -> channel.waiting.wakeAllFromAnyThread());
    }

    /** What calls return from now on: 0 or a negative errno. */
    public void result(int newResult) {
        result = newResult;
    }

    /** What the disk says of its wear from now on. */
    public ScriptedDisk lifetime(long packed) {
        lifetime = packed;
        return this;
    }

    /** What calls throw from now on; null for nothing. */
    public void throwing(@Nullable RuntimeException newThrown) {
        thrown = newThrown;
    }

    /** What the next call does first, on its IOThread. */
    public void duringNextCall(Runnable action) {
        duringNextCall = action;
    }

    /** The next call that has not been asked for yet. */
    public Call nextCall() throws InterruptedException {
        Call call = calls.poll(TIMEOUT_S, TimeUnit.SECONDS);
        if (call == null) {
            throw new AssertionError("the disk is asked for nothing");
        }
        return call;
    }

    public int callsNotAskedFor() {
        return calls.size();
    }

    public int underWay() {
        return underWay.get();
    }

    @Override
    public void activate() {
        driverCalls.add("activate");
    }

    @Override
    public void deactivate() {
        driverCalls.add("deactivate");
    }

    /** What the disk was told of its use so far: "activate", "flush" (by any channel), "deactivate". */
    public List<String> driverCalls() {
        return driverCalls;
    }

    @Override
    public BlockChannel openChannel(IoContext context) {
        Channel channel = new Channel(context.newWaitQueue());
        channels.add(channel);
        return channel;
    }

    @Override
    public void close() {}

    private final class Channel implements BlockChannel {
        private final IoContext.WaitQueue waiting;

        private Channel(IoContext.WaitQueue waiting) {
            this.waiting = waiting;
        }

        private int call(String name, long offsetBytes, long lengthBytes, boolean mayUnmap, boolean fua) {
            underWay.incrementAndGet();
            calls.add(new Call(
                    name,
                    offsetBytes,
                    lengthBytes,
                    mayUnmap,
                    fua,
                    Thread.currentThread().getName()));
            Runnable action = duringNextCall;
            if (action != null) {
                duringNextCall = null;
                action.run();
            }
            while (held) {
                waiting.await();
            }
            underWay.decrementAndGet();
            RuntimeException failure = thrown;
            if (failure != null) {
                throw failure;
            }
            return result;
        }

        @Override
        public int readv(long offsetBytes, long iovAddress, int iovCount, long lengthBytes) {
            int outcome = call("readv", offsetBytes, lengthBytes, false, false);
            if (outcome == 0) {
                VectorCopy.move(false, content, (int) offsetBytes, iovAddress, iovCount);
            }
            return outcome;
        }

        @Override
        public int writev(long offsetBytes, long iovAddress, int iovCount, long lengthBytes, boolean fua) {
            int outcome = call("writev", offsetBytes, lengthBytes, false, fua);
            if (outcome == 0) {
                VectorCopy.move(true, content, (int) offsetBytes, iovAddress, iovCount);
            }
            return outcome;
        }

        @Override
        public int flush() {
            driverCalls.add("flush");
            return call("flush", 0, 0, false, false);
        }

        @Override
        public int discard(long offsetBytes, long lengthBytes) {
            return call("discard", offsetBytes, lengthBytes, false, false);
        }

        @Override
        public int writeZeroes(long offsetBytes, long lengthBytes, boolean mayUnmap, boolean fua) {
            return call("writeZeroes", offsetBytes, lengthBytes, mayUnmap, fua);
        }

        @Override
        public long lifetime() {
            return lifetime;
        }

        @Override
        public void close() {}
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.bench;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockLimits;
import dev.vublk.blockdev.IoContext;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/**
 * A disk without data on which each request waits for the next tick of a clock: what waiting costs, and nothing else. Its
 * channels run on their loops, the clock in a thread of its own.
 */
final class WaitingDisk implements BlockDriver {
    /** So many ticks in vain, and the clock slows down, not to disturb those who measure another disk. Arbitrary. */
    private static final int IDLE_TICKS = 1000;

    private static final long IDLE_NS = TimeUnit.MILLISECONDS.toNanos(5);

    private final long sizeBytes;
    private final long periodNs;
    private final List<Channel> channels = new CopyOnWriteArrayList<>();
    private final Thread clock;
    private volatile boolean closed;

    WaitingDisk(long sizeBytes, long periodUs) {
        this.sizeBytes = sizeBytes;
        periodNs = TimeUnit.MICROSECONDS.toNanos(periodUs);
        clock = Thread.ofPlatform().name("waiting-disk").daemon().start(this::tick);
    }

    private void tick() {
        int inVain = 0;
        while (!closed) {
            LockSupport.parkNanos(inVain > IDLE_TICKS ? IDLE_NS : periodNs);
            inVain++;
            for (Channel channel : channels) {
                if (channel.isAnybodyWaiting()) {
                    inVain = 0;
                    channel.waiters.wakeAllFromAnyThread();
                }
            }
        }
    }

    @Override
    public BlockLimits limits() {
        return new BlockLimits(
                sizeBytes, false, 512, 4096, 4096, 0, true, 4096, sizeBytes, true, sizeBytes, true, true);
    }

    @Override
    public BlockChannel openChannel(IoContext context) {
        Channel channel = new Channel(context.newWaitQueue());
        channels.add(channel);
        return channel;
    }

    @Override
    public void close() {
        closed = true;
        LockSupport.unpark(clock);
    }

    private static final class Channel implements BlockChannel {
        private static final VarHandle WAITING;

        static {
            try {
                WAITING = MethodHandles.lookup().findVarHandle(Channel.class, "waiting", int.class);
            } catch (ReflectiveOperationException e) {
                throw new ExceptionInInitializerError(e);
            }
        }

        private final IoContext.WaitQueue waiters;

        /** Written by the loop with opaque stores, read by the clock. */
        private int waiting;

        private Channel(IoContext.WaitQueue waiters) {
            this.waiters = waiters;
        }

        private boolean isAnybodyWaiting() {
            return (int) WAITING.getOpaque(this) > 0;
        }

        private int await() {
            WAITING.setOpaque(this, waiting + 1);
            waiters.await();
            WAITING.setOpaque(this, waiting - 1);
            return 0;
        }

        @Override
        public int readv(long offsetBytes, long iovAddress, int iovCount, long lengthBytes) {
            return await();
        }

        @Override
        public int writev(long offsetBytes, long iovAddress, int iovCount, long lengthBytes, boolean fua) {
            return await();
        }

        @Override
        public int flush() {
            return await();
        }

        @Override
        public int discard(long offsetBytes, long lengthBytes) {
            return await();
        }

        @Override
        public int writeZeroes(long offsetBytes, long lengthBytes, boolean mayUnmap, boolean fua) {
            return await();
        }

        @Override
        public void close() {}
    }
}

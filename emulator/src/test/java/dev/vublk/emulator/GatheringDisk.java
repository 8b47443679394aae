// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockLimits;
import dev.vublk.blockdev.IoContext;

/**
 * A disk without data on which reads wait until so many of them wait at once; then all go on. For one IOThread; allocates
 * nothing.
 */
public final class GatheringDisk implements BlockDriver {
    private static final int SIZE_BYTES = 1 << 20;

    private final int count;

    public GatheringDisk(int count) {
        this.count = count;
    }

    @Override
    public BlockLimits limits() {
        return ScriptedDisk.limits(SIZE_BYTES, true);
    }

    @Override
    public BlockChannel openChannel(IoContext context) {
        return new Channel(context.newWaitQueue(), count);
    }

    @Override
    public void close() {}

    /** On its IOThread. */
    private static final class Channel implements BlockChannel {
        private final IoContext.WaitQueue gathered;
        private final int count;
        private int waiting;

        private Channel(IoContext.WaitQueue gathered, int count) {
            this.gathered = gathered;
            this.count = count;
        }

        @Override
        public int readv(long offsetBytes, long iovAddress, int iovCount, long lengthBytes) {
            if (++waiting == count) {
                waiting = 0;
                gathered.wakeAll();
                return 0;
            }
            gathered.await();
            return 0;
        }

        @Override
        public int writev(long offsetBytes, long iovAddress, int iovCount, long lengthBytes, boolean fua) {
            throw new UnsupportedOperationException("the test only reads");
        }

        @Override
        public int flush() {
            return 0;
        }

        @Override
        public int discard(long offsetBytes, long lengthBytes) {
            throw new UnsupportedOperationException("the test only reads");
        }

        @Override
        public int writeZeroes(long offsetBytes, long lengthBytes, boolean mayUnmap, boolean fua) {
            throw new UnsupportedOperationException("the test only reads");
        }

        @Override
        public void close() {}
    }
}

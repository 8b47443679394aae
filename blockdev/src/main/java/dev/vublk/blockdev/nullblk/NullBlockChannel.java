// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.nullblk;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.linux.Errno;

/** The disk that forgets, on one loop. Never waits. */
final class NullBlockChannel implements BlockChannel {
    private final int writeResult;

    NullBlockChannel(boolean readOnly) {
        this.writeResult = readOnly ? -Errno.EROFS : 0;
    }

    @Override
    public int readv(long offsetBytes, long iovAddress, int iovCount, long lengthBytes) {
        return 0;
    }

    @Override
    public int writev(long offsetBytes, long iovAddress, int iovCount, long lengthBytes, boolean fua) {
        return writeResult;
    }

    @Override
    public int flush() {
        return 0;
    }

    @Override
    public int discard(long offsetBytes, long lengthBytes) {
        return writeResult;
    }

    @Override
    public int writeZeroes(long offsetBytes, long lengthBytes, boolean mayUnmap, boolean fua) {
        return writeResult;
    }

    /** What was never stored is erased already. */
    @Override
    public int secureErase(long offsetBytes, long lengthBytes) {
        return writeResult;
    }

    @Override
    public void close() {}
}

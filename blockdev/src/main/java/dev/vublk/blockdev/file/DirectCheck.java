// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import dev.vublk.blockdev.linux.Iovec;

/** Whether the kernel takes a request as it is: always without O_DIRECT. Without state; any thread. */
final class DirectCheck {
    private final boolean direct;
    private final long blockMask;
    private final long memoryMask;
    private final long granuleMask;

    DirectCheck(SharedFile file) {
        direct = file.options.cacheMode().direct();
        blockMask = file.alignment.offsetBytes() - 1L;
        memoryMask = file.alignment.memoryBytes() - 1L;
        granuleMask = file.alignment.granuleBytes() - 1L;
    }

    boolean fits(long offsetBytes, long iovAddress, int iovCount, long lengthBytes) {
        if (!direct) {
            return true;
        }
        if (((offsetBytes | lengthBytes) & blockMask) != 0) {
            return false;
        }
        long iov = iovAddress;
        for (int i = 0; i < iovCount; i++) {
            if ((Iovec.base(iov) & memoryMask) != 0 || (Iovec.length(iov) & granuleMask) != 0) {
                return false;
            }
            iov += Iovec.SIZE_BYTES;
        }
        return true;
    }

    /** The same for one buffer. */
    boolean fits(long offsetBytes, long address, int lengthBytes) {
        if (!direct) {
            return true;
        }
        return ((offsetBytes | lengthBytes) & blockMask) == 0
                && ((address & memoryMask) | (lengthBytes & granuleMask)) == 0;
    }
}

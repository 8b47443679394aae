// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.FileStatus;
import dev.vublk.blockdev.linux.FileStatus.Kind;
import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.blockdev.linux.PosixFile;

/**
 * What O_DIRECT asks of a request on one file. Both are powers of two, and both are 1 for a file opened without it.
 *
 * @param memoryBytes alignment of every buffer's address
 * @param offsetBytes alignment of offset and length
 */
record DirectAlignment(int memoryBytes, int offsetBytes) {
    /** Of a file opened without O_DIRECT. */
    static final DirectAlignment NONE = new DirectAlignment(1, 1);

    /** When trial reads tell nothing: no known file system or device needs more. */
    private static final int SAFE_BYTES = 4096;

    /** Alignment of each iovec's address and length: what keeps every boundary between entries usable for a split. */
    int granuleBytes() {
        return Math.max(memoryBytes, offsetBytes);
    }

    /**
     * The alignments of an open O_DIRECT file: from {@code statx(2)} where the kernel tells, else for a device its
     * logical block, else by trial.
     */
    static DirectAlignment of(int fd, FileStatus status, int logicalBlockBytes) {
        if (status.directKnown() && status.directOffsetBytes() > 0) {
            return new DirectAlignment(status.directMemoryBytes(), Math.max(512, status.directOffsetBytes()));
        }
        if (status.kind() == Kind.BLOCK_DEVICE) {
            return new DirectAlignment(logicalBlockBytes, logicalBlockBytes);
        }
        return byTrialReads(fd);
    }

    /**
     * Finds the alignment by reading: the smallest length and address alignment that the file does not refuse with
     * {@code EINVAL}. A file that takes even one byte (some network file systems, or holes) tells nothing.
     */
    static DirectAlignment byTrialReads(int fd) {
        long buffer = NativeMemory.allocateZeroed(2L * SAFE_BYTES);
        try {
            if (PosixFile.read(fd, buffer + 1, 1, 0) != -Errno.EINVAL) {
                return new DirectAlignment(SAFE_BYTES, SAFE_BYTES);
            }
            for (int bytes = 512; bytes < SAFE_BYTES; bytes *= 2) {
                // at exactly this alignment, not by chance at a larger one
                if (PosixFile.read(fd, buffer + bytes, bytes, 0) != -Errno.EINVAL) {
                    return new DirectAlignment(bytes, bytes);
                }
            }
            return new DirectAlignment(SAFE_BYTES, SAFE_BYTES);
        } finally {
            NativeMemory.free(buffer);
        }
    }
}

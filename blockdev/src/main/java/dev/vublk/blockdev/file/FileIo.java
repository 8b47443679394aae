// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

/**
 * The system calls that a file channel makes, on one loop: this is all that the engines differ in. Each call waits for
 * its completion and returns what the system call returned, with a negative errno on failure; nothing is continued or
 * retried here. Runs on its loop.
 */
interface FileIo {
    int readv(long iovAddress, int iovCount, long offsetBytes);

    int writev(long iovAddress, int iovCount, long offsetBytes, int rwFlags);

    int read(long address, int lengthBytes, long offsetBytes);

    int write(long address, int lengthBytes, long offsetBytes, int rwFlags);

    int fdatasync();

    int fallocate(int mode, long offsetBytes, long lengthBytes);

    /** {@code BLKDISCARD}, {@code BLKSECDISCARD} or {@code BLKZEROOUT}. */
    int ioctlOnRange(int request, long offsetBytes, long lengthBytes);

    /** Waits a moment, for what cannot be awaited: a resource that the kernel is short of. */
    void pause();

    /** Frees what calls used; no call may be under way. */
    void close();
}

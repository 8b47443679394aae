// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev;

/**
 * The io_uring operations that disks use, on one loop. Each call queues one submission and waits for its completion;
 * submissions of one pass of the loop go to the kernel with one {@code io_uring_enter(2)}.
 *
 * <p>Addresses are of this process's memory and must stay valid until the call returns. Every method returns what the
 * matching system call would have returned, with a negative errno on failure; short transfers are not continued here.
 */
public interface IoRing {

    /**
     * {@code preadv2(2)}.
     *
     * @param iovAddress address of {@code iovCount} {@code struct iovec}
     * @param rwFlags {@code RWF_*}
     */
    int readv(int fd, long iovAddress, int iovCount, long offsetBytes, int rwFlags);

    /** {@code pwritev2(2)}; parameters as for {@link #readv}. */
    int writev(int fd, long iovAddress, int iovCount, long offsetBytes, int rwFlags);

    /** {@code pread(2)} into one buffer. */
    int read(int fd, long address, int lengthBytes, long offsetBytes, int rwFlags);

    /** {@code pwrite(2)} from one buffer. */
    int write(int fd, long address, int lengthBytes, long offsetBytes, int rwFlags);

    /** {@code fdatasync(2)} (or {@code fsync(2)} when {@code dataOnly} is false). */
    int fsync(int fd, boolean dataOnly);

    /** {@code fallocate(2)} with {@code FALLOC_FL_*} in {@code mode}. */
    int fallocate(int fd, int mode, long offsetBytes, long lengthBytes);
}

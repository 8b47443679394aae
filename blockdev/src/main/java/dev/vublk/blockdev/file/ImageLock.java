// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import dev.vublk.blockdev.BlockOpenException;
import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.BlockOptions.Locking;
import dev.vublk.blockdev.ImageInUseException;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.OfdLock;

/**
 * The image lock that QEMU and its tools understand: shared byte locks that say what an opener does with the image and
 * what it does not want others to do. They go with the descriptor. Setup code, any thread.
 *
 * <pre>
 *   byte 100 + n   locked by who uses permission n
 *   byte 200 + n   locked by who does not share permission n
 *   n              0 consistent-read, 1 write, 2 write-unchanged, 3 resize
 * </pre>
 *
 * All locks are shared ones, so taking them always works; whether somebody is in the way is then asked with the question
 * "could I lock this byte exclusively?". Of two who come at the same time both may see the other and give up.
 *
 * <p>The permissions are those of QEMU's virtio-blk device: it reads, and writes unless read-only; it shares everything
 * but writing, and that too with {@code share-rw=on}. (Older QEMU versions know a permission 4, graph-mod, which nobody
 * here uses or denies.)
 */
final class ImageLock {
    private static final int PERMISSION_BASE = 100;
    private static final int UNSHARED_BASE = 200;
    private static final int PERMISSION_COUNT = 4;

    private static final int CONSISTENT_READ = 1;
    private static final int WRITE = 1 << 1;
    private static final int WRITE_UNCHANGED = 1 << 2;
    private static final int RESIZE = 1 << 3;

    private ImageLock() {}

    /** Takes the locks on the open file {@code fd}, or none of them; where the options want none it does nothing. */
    static void acquire(int fd, BlockOptions options) throws BlockOpenException {
        int used = CONSISTENT_READ | (options.readOnly() ? 0 : WRITE);
        int shared = CONSISTENT_READ | WRITE_UNCHANGED | RESIZE | (options.shareRw() ? WRITE : 0);
        acquire(fd, options, used, shared);
    }

    /**
     * The same for a file that holds an image of another format, or a part of one: it grows, and nobody else may write to it or
     * change its size, whoever reads from it. So QEMU's qcow2 driver locks its files.
     */
    static void acquireContainer(int fd, BlockOptions options) throws BlockOpenException {
        int used = CONSISTENT_READ | (options.readOnly() ? 0 : WRITE | RESIZE);
        acquire(fd, options, used, CONSISTENT_READ | WRITE_UNCHANGED);
    }

    private static void acquire(int fd, BlockOptions options, int used, int shared) throws BlockOpenException {
        if (options.locking() == Locking.OFF || options.forceShare()) {
            return;
        }
        boolean acquired = false;
        try {
            lockAndCheck(fd, options, used, shared);
            acquired = true;
        } finally {
            if (!acquired) {
                release(fd);
            }
        }
    }

    /** Gives all locks up. */
    static void release(int fd) {
        OfdLock.unlock(fd, PERMISSION_BASE, PERMISSION_COUNT);
        OfdLock.unlock(fd, UNSHARED_BASE, PERMISSION_COUNT);
    }

    private static void lockAndCheck(int fd, BlockOptions options, int used, int shared) throws BlockOpenException {
        for (int n = 0; n < PERMISSION_COUNT; n++) {
            if ((used & 1 << n) != 0) {
                lock(fd, PERMISSION_BASE + n, options);
            }
            if ((shared & 1 << n) == 0) {
                lock(fd, UNSHARED_BASE + n, options);
            }
        }
        for (int n = 0; n < PERMISSION_COUNT; n++) {
            if ((used & 1 << n) != 0 && isHeldByOther(fd, UNSHARED_BASE + n, options)) {
                throw conflict(
                        fd,
                        options,
                        n == 0
                                ? "uses it exclusively"
                                : n == 1 ? "does not share writing" : "does not let others change its size");
            }
            if ((shared & 1 << n) == 0 && isHeldByOther(fd, PERMISSION_BASE + n, options)) {
                throw conflict(fd, options, n == 1 ? "has it open for writing" : "may change its size");
            }
        }
    }

    private static void lock(int fd, int offsetBytes, BlockOptions options) throws BlockOpenException {
        check(OfdLock.lockShared(fd, offsetBytes), options);
    }

    private static boolean isHeldByOther(int fd, int offsetBytes, BlockOptions options) throws BlockOpenException {
        return check(OfdLock.hasConflict(fd, offsetBytes), options) != 0;
    }

    private static int check(int result, BlockOptions options) throws BlockOpenException {
        if (result >= 0) {
            return result;
        }
        if (result == -Errno.EAGAIN || result == -Errno.EACCES) {
            throw new BlockOpenException(options.image()
                    + ": another program has locked the whole image; stop it, or use locking=off at your own risk");
        }
        throw new BlockOpenException(options.image() + ": cannot lock the image: " + Errno.describe(result)
                + "; its file system may have no locks: use locking=off");
    }

    private static BlockOpenException conflict(int fd, BlockOptions options, String what) {
        String remedy = options.readOnly()
                ? "share-rw=on lets others write, force-share=on ignores them"
                : "share-rw=on on both sides lets both write";
        return new ImageInUseException(
                options.image() + ": image is in use: " + LockHolders.describe(fd) + " " + what, remedy);
    }
}

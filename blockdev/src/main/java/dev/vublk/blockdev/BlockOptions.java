// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev;

import org.jspecify.annotations.Nullable;

/**
 * How a disk is to be opened.
 *
 * @param image path of a file or block device, or a URI such as {@code null:64MiB}
 * @param readOnly open for reading only
 * @param cacheMode QEMU's name for the way data is cached
 * @param engine how reads and writes are carried out
 * @param discard whether discards are passed on ({@code unmap}) or ignored
 * @param logicalBlockBytes block size to present, 0 for the disk's own
 * @param locking whether and when image locks are taken
 * @param shareRw whether others may write the image at the same time (for migration)
 * @param forceShare open without regard to anybody's locks (read-only only, as QEMU's {@code force-share})
 * @param zones zones that are to be emulated on the image; null for an image as it is
 */
public record BlockOptions(
        String image,
        boolean readOnly,
        CacheMode cacheMode,
        IoEngine engine,
        boolean discard,
        int logicalBlockBytes,
        Locking locking,
        boolean shareRw,
        boolean forceShare,
        @Nullable ZoneOptions zones) {

    /** An image as it is: no zones are emulated on it. */
    public BlockOptions(
            String image,
            boolean readOnly,
            CacheMode cacheMode,
            IoEngine engine,
            boolean discard,
            int logicalBlockBytes,
            Locking locking,
            boolean shareRw,
            boolean forceShare) {
        this(image, readOnly, cacheMode, engine, discard, logicalBlockBytes, locking, shareRw, forceShare, null);
    }

    /** QEMU's cache modes: what bypasses the page cache, and whether writes start as write-back. */
    public enum CacheMode {
        NONE(true, true, false),
        WRITEBACK(false, true, false),
        WRITETHROUGH(false, false, false),
        DIRECTSYNC(true, false, false),
        UNSAFE(false, true, true);

        private final boolean direct;
        private final boolean writeback;
        private final boolean noFlush;

        CacheMode(boolean direct, boolean writeback, boolean noFlush) {
            this.direct = direct;
            this.writeback = writeback;
            this.noFlush = noFlush;
        }

        /** Whether the file is opened with {@code O_DIRECT}. */
        public boolean direct() {
            return direct;
        }

        /** Whether writes start as write-back: stable only after a flush. */
        public boolean writeback() {
            return writeback;
        }

        /** Whether flushes are ignored: only for data that nobody will miss. */
        public boolean noFlush() {
            return noFlush;
        }
    }

    /** How reads and writes of a file reach the kernel. */
    public enum IoEngine {
        /**
         * {@link #MMAP} for a file in memory on a host without swap, else {@link #IO_URING} where the loop has a ring, else
         * {@link #THREADS}.
         */
        AUTO,
        IO_URING,
        THREADS,
        /** Copies from and to the file's own pages, on the loop: for files in memory. */
        MMAP
    }

    /** When the image is locked against other programs. */
    public enum Locking {
        /** From the opening on. */
        ON,
        /**
         * When a guest begins to use the disk: for the receiving side of a migration, which is started while the sending side
         * still has the image.
         */
        DEFERRED,
        OFF
    }

    /** Options with every default: write-back, engine by what the loop has, locks taken, discards passed on. */
    public static BlockOptions defaults(String image) {
        return new BlockOptions(image, false, CacheMode.WRITEBACK, IoEngine.AUTO, true, 0, Locking.ON, false, false);
    }
}

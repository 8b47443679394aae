// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev;

import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * How a disk is to be opened. A value that never changes: each {@code with} makes another one. What is not said has its default:
 * writable, probed, write-back, engine by what the loop has, locks taken, discards passed on.
 */
public final class BlockOptions {
    private String image;
    private boolean readOnly;
    private ImageType type = ImageType.AUTO;
    private @Nullable String snapshot;
    private long l2CacheBytes;
    private CacheMode cacheMode = CacheMode.WRITEBACK;
    private IoEngine engine = IoEngine.AUTO;
    private boolean discard = true;
    private int logicalBlockBytes;
    private Locking locking = Locking.ON;
    private boolean shareRw;
    private boolean forceShare;
    private @Nullable ZoneOptions zones;

    private BlockOptions(String image) {
        this.image = Objects.requireNonNull(image, "image");
    }

    private BlockOptions(BlockOptions from) {
        image = from.image;
        readOnly = from.readOnly;
        type = from.type;
        snapshot = from.snapshot;
        l2CacheBytes = from.l2CacheBytes;
        cacheMode = from.cacheMode;
        engine = from.engine;
        discard = from.discard;
        logicalBlockBytes = from.logicalBlockBytes;
        locking = from.locking;
        shareRw = from.shareRw;
        forceShare = from.forceShare;
        zones = from.zones;
    }

    /**
     * Options with every default.
     *
     * @param image path of a file or block device, or a URI such as {@code null:64MiB}
     */
    public static BlockOptions of(String image) {
        return new BlockOptions(image);
    }

    /** Path of a file or block device, or a URI such as {@code null:64MiB}. */
    public String image() {
        return image;
    }

    public BlockOptions withImage(String value) {
        BlockOptions copy = new BlockOptions(this);
        copy.image = value;
        return copy;
    }

    /** Whether it is opened for reading only. */
    public boolean readOnly() {
        return readOnly;
    }

    public BlockOptions withReadOnly(boolean value) {
        BlockOptions copy = new BlockOptions(this);
        copy.readOnly = value;
        return copy;
    }

    /** What the image's file is taken for. */
    public ImageType type() {
        return type;
    }

    public BlockOptions withType(ImageType value) {
        BlockOptions copy = new BlockOptions(this);
        copy.type = value;
        return copy;
    }

    /** Id or name of the internal snapshot that is opened, for reading only, instead of the disk as it is now; null for that. */
    public @Nullable String snapshot() {
        return snapshot;
    }

    public BlockOptions withSnapshot(@Nullable String value) {
        BlockOptions copy = new BlockOptions(this);
        copy.snapshot = value;
        return copy;
    }

    /** Most memory that an image's L2 tables may take; 0 for what covers the disk, up to 32 MiB. */
    public long l2CacheBytes() {
        return l2CacheBytes;
    }

    public BlockOptions withL2CacheBytes(long value) {
        BlockOptions copy = new BlockOptions(this);
        copy.l2CacheBytes = value;
        return copy;
    }

    /** QEMU's name for the way data is cached. */
    public CacheMode cacheMode() {
        return cacheMode;
    }

    public BlockOptions withCacheMode(CacheMode value) {
        BlockOptions copy = new BlockOptions(this);
        copy.cacheMode = value;
        return copy;
    }

    /** How reads and writes are carried out. */
    public IoEngine engine() {
        return engine;
    }

    public BlockOptions withEngine(IoEngine value) {
        BlockOptions copy = new BlockOptions(this);
        copy.engine = value;
        return copy;
    }

    /** Whether discards are passed on ({@code unmap}) or ignored. */
    public boolean discard() {
        return discard;
    }

    public BlockOptions withDiscard(boolean value) {
        BlockOptions copy = new BlockOptions(this);
        copy.discard = value;
        return copy;
    }

    /** Block size to present, 0 for the disk's own. */
    public int logicalBlockBytes() {
        return logicalBlockBytes;
    }

    public BlockOptions withLogicalBlockBytes(int value) {
        BlockOptions copy = new BlockOptions(this);
        copy.logicalBlockBytes = value;
        return copy;
    }

    /** Whether and when image locks are taken. */
    public Locking locking() {
        return locking;
    }

    public BlockOptions withLocking(Locking value) {
        BlockOptions copy = new BlockOptions(this);
        copy.locking = value;
        return copy;
    }

    /** Whether others may write the image at the same time (for migration). */
    public boolean shareRw() {
        return shareRw;
    }

    public BlockOptions withShareRw(boolean value) {
        BlockOptions copy = new BlockOptions(this);
        copy.shareRw = value;
        return copy;
    }

    /** Whether it is opened without regard to anybody's locks (read-only only, as QEMU's {@code force-share}). */
    public boolean forceShare() {
        return forceShare;
    }

    public BlockOptions withForceShare(boolean value) {
        BlockOptions copy = new BlockOptions(this);
        copy.forceShare = value;
        return copy;
    }

    /** Zones that are to be emulated on the image; null for an image as it is. */
    public @Nullable ZoneOptions zones() {
        return zones;
    }

    public BlockOptions withZones(@Nullable ZoneOptions value) {
        BlockOptions copy = new BlockOptions(this);
        copy.zones = value;
        return copy;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof BlockOptions that && values().equals(that.values());
    }

    @Override
    public int hashCode() {
        return values().hashCode();
    }

    @Override
    public String toString() {
        return values().toString();
    }

    private List<@Nullable Object> values() {
        return Arrays.asList(
                image,
                readOnly,
                type,
                snapshot,
                l2CacheBytes,
                cacheMode,
                engine,
                discard,
                logicalBlockBytes,
                locking,
                shareRw,
                forceShare,
                zones);
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
}

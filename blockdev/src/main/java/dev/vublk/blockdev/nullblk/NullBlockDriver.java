// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.nullblk;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockLimits;
import dev.vublk.blockdev.BlockOpenException;
import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.IoContext;

/**
 * A disk that forgets: every call completes at once, reads leave the buffers as they were. For measuring everything but
 * the disk. Thread-safe, without state.
 */
public final class NullBlockDriver implements BlockDriver {
    /** What an image name begins with that means this driver. A file of such a name is opened as {@code ./null:…}. */
    public static final String PREFIX = "null:";

    private static final int BLOCK_BYTES = 512;
    private static final int PAGE_BYTES = 4096;

    private final BlockLimits limits;

    private NullBlockDriver(BlockLimits limits) {
        this.limits = limits;
    }

    /** Opens {@code null:SIZE}, for example {@code null:64MiB}. */
    public static NullBlockDriver open(BlockOptions options) throws BlockOpenException {
        long sizeBytes = ByteSize.parse(options.image().substring(PREFIX.length()));
        if (sizeBytes <= 0 || sizeBytes % BLOCK_BYTES != 0) {
            throw new BlockOpenException(
                    options.image() + ": the size must be a positive multiple of 512 bytes, for example null:64MiB");
        }
        int logicalBytes = options.logicalBlockBytes() == 0 ? BLOCK_BYTES : options.logicalBlockBytes();
        int physicalBytes = Math.max(PAGE_BYTES, logicalBytes);
        return new NullBlockDriver(new BlockLimits(
                sizeBytes,
                options.readOnly(),
                logicalBytes,
                physicalBytes,
                physicalBytes,
                0,
                options.discard(),
                physicalBytes,
                sizeBytes,
                true,
                sizeBytes,
                true, // as a file has one, so that a measurement sees the same features
                options.cacheMode().writeback(),
                options.readOnly() ? 0 : logicalBytes,
                false,
                null));
    }

    @Override
    public BlockLimits limits() {
        return limits;
    }

    @Override
    public BlockChannel openChannel(IoContext context) {
        return new NullBlockChannel(limits.readOnly());
    }

    @Override
    public void close() {}
}

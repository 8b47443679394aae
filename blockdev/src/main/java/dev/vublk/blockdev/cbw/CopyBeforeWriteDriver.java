// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.cbw;

import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockLimits;
import dev.vublk.blockdev.BlockOpenException;
import dev.vublk.blockdev.IoContext;
import java.io.IOException;

/** A disk whose channels can copy what they are about to overwrite. Thread-safe. */
public final class CopyBeforeWriteDriver implements BlockDriver {
    private final BlockDriver disk;

    /** @param disk is closed with this driver */
    public CopyBeforeWriteDriver(BlockDriver disk) {
        this.disk = disk;
    }

    /** The disk without this filter: to read it for a snapshot. */
    public BlockDriver disk() {
        return disk;
    }

    @Override
    public BlockLimits limits() {
        return disk.limits();
    }

    @Override
    public boolean refreshSize() throws IOException {
        return disk.refreshSize();
    }

    @Override
    public boolean grow(long sizeBytes) throws IOException {
        return disk.grow(sizeBytes);
    }

    @Override
    public CopyBeforeWriteChannel openChannel(IoContext context) {
        return new CopyBeforeWriteChannel(disk.openChannel(context), context);
    }

    @Override
    public void activate() throws BlockOpenException {
        disk.activate();
    }

    @Override
    public void deactivate() {
        disk.deactivate();
    }

    @Override
    public void close() {
        disk.close();
    }
}

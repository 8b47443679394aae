// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.cbw;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.BlockStatus;
import dev.vublk.blockdev.IoContext;
import dev.vublk.blockdev.ZonedChannel;
import dev.vublk.blockdev.file.LoopQueue;
import org.jspecify.annotations.Nullable;

/**
 * A disk on one loop that lets a snapshot have what is about to be overwritten. Without a snapshot a change costs two looks at
 * fields. Runs on its loop.
 *
 * <pre>
 *   stopChanges   new changes wait, those under way are waited for      (on every loop: now there is one state of the disk)
 *   attach        changes are told to the snapshot from now on
 *   allowChanges
 *   detach        the snapshot is told nothing more, and nobody is using it
 * </pre>
 */
public final class CopyBeforeWriteChannel implements BlockChannel {
    private final BlockChannel disk;
    private final LoopQueue stopped;
    private final LoopQueue drained;

    private @Nullable SnapshotKeeper keeper;
    private boolean changesStopped;
    private int changesInFlight;

    CopyBeforeWriteChannel(BlockChannel disk, IoContext context) {
        this.disk = disk;
        stopped = new LoopQueue(context);
        drained = new LoopQueue(context);
    }

    /** Lets no further change begin, and waits for those under way. */
    public void stopChanges() {
        changesStopped = true;
        awaitDrained();
    }

    private void awaitDrained() {
        while (changesInFlight > 0) {
            drained.get().await();
        }
    }

    /** Changes can begin again. */
    public void allowChanges() {
        changesStopped = false;
        stopped.get().wakeAll();
    }

    /** Tells a snapshot of every change from now on. Changes are stopped. */
    public void attach(SnapshotKeeper newKeeper) {
        if (keeper != null) {
            throw new IllegalStateException("there is a snapshot already");
        }
        keeper = newKeeper;
    }

    /** Tells the snapshot of no change any more, and waits until no change uses it. */
    public void detach() {
        stopChanges();
        keeper = null;
        allowChanges();
    }

    private void beginChange(long offsetBytes, long lengthBytes) {
        while (changesStopped) {
            stopped.get().await();
        }
        changesInFlight++;
        SnapshotKeeper present = keeper;
        if (present != null) {
            present.keep(offsetBytes, lengthBytes);
        }
    }

    private int endChange(int result) {
        changesInFlight--;
        if (changesStopped && changesInFlight == 0) {
            drained.get().wakeAll();
        }
        return result;
    }

    @Override
    public int writev(long offsetBytes, long iovAddress, int iovCount, long lengthBytes, boolean fua) {
        beginChange(offsetBytes, lengthBytes);
        return endChange(disk.writev(offsetBytes, iovAddress, iovCount, lengthBytes, fua));
    }

    @Override
    public int discard(long offsetBytes, long lengthBytes) {
        beginChange(offsetBytes, lengthBytes);
        return endChange(disk.discard(offsetBytes, lengthBytes));
    }

    @Override
    public int writeZeroes(long offsetBytes, long lengthBytes, boolean mayUnmap, boolean fua) {
        beginChange(offsetBytes, lengthBytes);
        return endChange(disk.writeZeroes(offsetBytes, lengthBytes, mayUnmap, fua));
    }

    @Override
    public int secureErase(long offsetBytes, long lengthBytes) {
        beginChange(offsetBytes, lengthBytes);
        return endChange(disk.secureErase(offsetBytes, lengthBytes));
    }

    @Override
    public int readv(long offsetBytes, long iovAddress, int iovCount, long lengthBytes) {
        return disk.readv(offsetBytes, iovAddress, iovCount, lengthBytes);
    }

    @Override
    public int flush() {
        return disk.flush();
    }

    @Override
    public int status(long offsetBytes, long lengthBytes, BlockStatus out) {
        return disk.status(offsetBytes, lengthBytes, out);
    }

    @Override
    public long lifetime() {
        return disk.lifetime();
    }

    @Override
    public @Nullable ZonedChannel zones() {
        return disk.zones();
    }

    @Override
    public void close() {
        disk.close();
    }
}

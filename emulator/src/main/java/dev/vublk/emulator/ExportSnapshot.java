// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.cbw.CopyBeforeWriteChannel;
import dev.vublk.blockdev.cbw.DiskSnapshot;
import dev.vublk.blockdev.cbw.SnapshotKeeper;
import dev.vublk.emulator.iothread.IOThread;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/**
 * The state that an exported disk had when this object was made, until it is closed, while guests go on. Used by one thread, which
 * is none of the loops.
 */
public final class ExportSnapshot implements AutoCloseable {
    private final DiskSnapshot snapshot;
    private final List<IOThread> loops;
    private final List<CopyBeforeWriteChannel> channels;
    private final List<SnapshotKeeper> keepers = new ArrayList<>();
    private final Runnable onClose;

    private ExportSnapshot(
            DiskSnapshot snapshot, List<IOThread> loops, List<CopyBeforeWriteChannel> channels, Runnable onClose) {
        this.snapshot = snapshot;
        this.loops = loops;
        this.channels = channels;
        this.onClose = onClose;
    }

    /**
     * Takes the snapshot: changes of the disk stop on all loops, those under way are waited for, and go on.
     *
     * @param channels the disk on each of the loops
     * @param onClose is called when the snapshot has been closed
     */
    static ExportSnapshot take(
            BlockDriver disk,
            BlockDriver store,
            long storeBytesMax,
            List<IOThread> loops,
            List<BlockChannel> channels,
            Runnable onClose) {
        ExportSnapshot taken = new ExportSnapshot(
                new DiskSnapshot(disk, store, storeBytesMax),
                loops,
                channels.stream().map(CopyBeforeWriteChannel.class::cast).toList(),
                onClose);
        taken.begin();
        return taken;
    }

    private void begin() {
        for (IOThread loop : loops) {
            keepers.add(snapshot.openKeeper(loop.ioContext()));
        }
        onEveryLoop(i -> channels.get(i).stopChanges());
        // The moment: no change is under way.
        onEveryLoop(i -> {
            channels.get(i).attach(keepers.get(i));
            channels.get(i).allowChanges();
        });
    }

    private interface LoopWork {
        void run(int loop);
    }

    /** Runs work in a coroutine of each loop, and waits for all of them. */
    private void onEveryLoop(LoopWork work) {
        List<CompletableFuture<Void>> ended = new ArrayList<>();
        for (int i = 0; i < loops.size(); i++) {
            int loop = i;
            CompletableFuture<Void> end = new CompletableFuture<>();
            ended.add(end);
            loops.get(i).spawn(() -> {
                try {
                    work.run(loop);
                    end.complete(null);
                } catch (Throwable t) {
                    end.completeExceptionally(t);
                }
            });
        }
        ended.forEach(CompletableFuture::join);
    }

    /** What is to be read. */
    public DiskSnapshot disk() {
        return snapshot;
    }

    /** Guests' changes are no longer copied, and what was kept is gone. Every reader has been closed before. */
    @Override
    public void close() {
        onEveryLoop(i -> channels.get(i).detach());
        onEveryLoop(i -> keepers.get(i).close());
        snapshot.close();
        onClose.run();
    }
}

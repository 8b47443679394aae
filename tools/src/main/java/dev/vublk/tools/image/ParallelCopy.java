// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/** Copies by several threads that each take the next piece, look for zeroes in it and write it. */
final class ParallelCopy extends CopyWork {
    ParallelCopy(ImageSource source, ImageTarget target, CopyRules rules, CopyProgress progress) {
        super(source, target, rules, progress);
    }

    @Override
    void copyAll() {
        List<Thread> threads = new ArrayList<>();
        for (int i = 1; i < rules.threadCount(); i++) {
            threads.add(Thread.ofPlatform().name("vublk-copy-" + i).start(this::copyPieces));
        }
        copyPieces();
        for (Thread thread : threads) {
            join(thread);
        }
    }

    private void copyPieces() {
        Checkpoints checkpoints = rules.checkpoints();
        try (ImageSource.Reader reader = source.openReader();
                PieceFilter filter = rules.openFilter();
                Chunk chunk = new Chunk(source.chunkBytes())) {
            while (!hasFailed() && reader.next(chunk)) {
                filter.apply(chunk);
                rules.rate().await(chunk.hasData() ? chunk.lengthBytes() : 0);
                target.write(chunk);
                progress.add(chunk);
                if (checkpoints != null) {
                    checkpoints.written(chunk);
                }
            }
        } catch (IOException | RuntimeException | Error e) {
            fail(e);
        }
    }

    private static void join(Thread thread) {
        boolean interrupted = false;
        while (thread.isAlive()) {
            try {
                thread.join();
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}

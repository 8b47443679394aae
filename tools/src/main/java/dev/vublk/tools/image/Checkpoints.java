// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import java.io.IOException;
import java.util.TreeMap;

/**
 * Keeps the journal of a conversion: every so often it makes the target stable and records up to where all pieces have been
 * written. Thread-safe.
 */
final class Checkpoints {
    /** How much work a crash costs. Arbitrary. */
    private static final long PERIOD_NS = 1_000_000_000;

    private final ResumeJournal journal;

    /** Makes what was written stable. */
    private final Sync sync;

    // Guarded by this.
    /** Everything before this has been written. */
    private long doneBytes;
    /** Pieces behind it: their beginnings and ends. */
    private final TreeMap<Long, Long> ahead = new TreeMap<>();

    private boolean recording;
    private long recordedBytes;
    private long recordedNs = System.nanoTime();

    /** Makes a target's data stable. */
    interface Sync {
        void sync() throws IOException;
    }

    Checkpoints(ResumeJournal journal, Sync sync) {
        this.journal = journal;
        this.sync = sync;
        doneBytes = journal.startBytes();
        recordedBytes = doneBytes;
    }

    /** A piece has been written. Records that now and then, in the calling thread. */
    void written(Chunk chunk) throws IOException {
        long bytes;
        synchronized (this) {
            ahead.put(chunk.offsetBytes(), chunk.endBytes());
            while (!ahead.isEmpty() && ahead.firstKey() == doneBytes) {
                doneBytes = ahead.pollFirstEntry().getValue();
            }
            if (recording || doneBytes == recordedBytes || System.nanoTime() - recordedNs < PERIOD_NS) {
                return;
            }
            recording = true;
            bytes = doneBytes;
        }
        record(bytes);
    }

    private void record(long bytes) throws IOException {
        try {
            sync.sync();
            journal.record(bytes);
        } finally {
            synchronized (this) {
                recording = false;
                recordedBytes = bytes;
                recordedNs = System.nanoTime();
            }
        }
    }

    /** No thread writes any more, and not all is done: records how far it is. */
    void stop() throws IOException {
        long bytes;
        synchronized (this) {
            bytes = doneBytes;
        }
        record(bytes);
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import java.util.concurrent.atomic.LongAdder;

/** How far a copy is. Written by the threads that copy, read by any. */
public final class CopyProgress {
    private final long totalBytes;
    private final long startNs = System.nanoTime();
    private final LongAdder doneBytes = new LongAdder();
    private final LongAdder dataBytes = new LongAdder();
    private final LongAdder zeroBytes = new LongAdder();
    private final LongAdder sameBytes = new LongAdder();

    /** @param totalBytes the disk's size, or {@link ImageSource#UNKNOWN} */
    CopyProgress(long totalBytes) {
        this.totalBytes = totalBytes;
    }

    /** What had been done by a copy before this one. */
    void resumedAt(long bytes) {
        doneBytes.add(bytes);
    }

    /** A piece has been written. */
    void add(Chunk chunk) {
        for (int i = 0; i < chunk.runCount(); i++) {
            long bytes = chunk.runEnd(i) - chunk.runStart(i);
            add(chunk.kind(i), bytes);
        }
    }

    /** A run of bytes of one kind has been written. */
    void add(Chunk.Kind kind, long bytes) {
        switch (kind) {
            case DATA -> dataBytes.add(bytes);
            case ZERO -> zeroBytes.add(bytes);
            case SAME -> sameBytes.add(bytes);
        }
        doneBytes.add(bytes);
    }

    /** The disk's size, or {@link ImageSource#UNKNOWN}. */
    public long totalBytes() {
        return totalBytes;
    }

    /** How much of the disk has been dealt with, holes included. */
    public long doneBytes() {
        return doneBytes.sum();
    }

    /** How much of it was data. */
    public long dataBytes() {
        return dataBytes.sum();
    }

    /** How much of it was zeroes, known or found. */
    public long zeroBytes() {
        return zeroBytes.sum();
    }

    /** How much of it is in the target's backing file already. */
    public long sameBytes() {
        return sameBytes.sum();
    }

    public long elapsedNs() {
        return System.nanoTime() - startNs;
    }
}

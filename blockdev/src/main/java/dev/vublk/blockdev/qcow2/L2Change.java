// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import dev.vublk.blockdev.file.LoopQueue;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/** New values of entries that follow each other in one slice; its user owns it and may use it again. */
final class L2Change implements AutoCloseable {
    int firstIndex;
    int entryCount;
    private long[] words = new long[8];

    /** For the one who writes a slice; kept for its next change. */
    private final GrowingMemory buffer = new GrowingMemory();

    // Of the commit, guarded by the slice.
    @Nullable
    L2Change next;

    @Nullable
    LoopQueue waiting;

    boolean isDone;
    int result;

    /** Begins a change of {@code entryCount} entries from {@code firstIndex} on, whose values follow. */
    void begin(int newFirstIndex, int newEntryCount, int wordsPerEntry) {
        firstIndex = newFirstIndex;
        entryCount = newEntryCount;
        if (words.length < newEntryCount * wordsPerEntry) {
            words = Arrays.copyOf(words, newEntryCount * wordsPerEntry);
        }
    }

    /** The changed words. */
    long[] words() {
        return words;
    }

    /** Memory for a slice as the file has it; of unspecified content; 0 when there is none. */
    long buffer(int lengthBytes) {
        return buffer.reserve(lengthBytes);
    }

    @Override
    public void close() {
        buffer.close();
    }
}

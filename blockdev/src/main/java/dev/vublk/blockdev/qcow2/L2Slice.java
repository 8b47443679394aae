// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import org.jspecify.annotations.Nullable;

/**
 * A part of an L2 table in memory: what is written to the file is read here, and nothing else. Entries are read by every loop
 * without waiting; changes go through {@link L2Commit}, which publishes them when they are in the file.
 */
final class L2Slice {
    private static final VarHandle WORD = MethodHandles.arrayElementVarHandle(long[].class);
    private static final VarHandle VERSION = handle();

    final int l1Index;
    /** Where the slice stands in the file. */
    final long fileOffset;

    private final int wordsPerEntry;
    private final long[] words;

    /** Odd while entries of two words are changing. */
    @SuppressWarnings("UnusedVariable") // by VERSION
    private int version;

    // Of the cache, guarded by it; the mark may be set without.
    int pinCount;
    boolean isUsed;
    boolean isDropped;

    // Of the commit, guarded by this.
    @Nullable
    L2Change firstPending;

    @Nullable
    L2Change lastPending;

    boolean isWriting;

    /** Whether a write has failed, so that the file may have other entries than this slice. */
    volatile boolean isSuspect;

    /** For which {@link MetadataClusters#generation} the entries are known to name no metadata; -1 for none. */
    volatile int checkedGeneration = -1;

    L2Slice(int l1Index, long fileOffset, long[] words, int wordsPerEntry) {
        this.l1Index = l1Index;
        this.fileOffset = fileOffset;
        this.words = words;
        this.wordsPerEntry = wordsPerEntry;
    }

    int entryCount() {
        return words.length / wordsPerEntry;
    }

    int wordsPerEntry() {
        return wordsPerEntry;
    }

    /** The first word of an entry: all there is to it in an image without subclusters. */
    long entry(int index) {
        return (long) WORD.getAcquire(words, index * wordsPerEntry);
    }

    /** An entry, whose words belong together. */
    void read(int index, L2Entry out) {
        if (wordsPerEntry == 1) {
            out.entry = entry(index);
            out.bitmap = 0;
            return;
        }
        while (true) {
            int before = (int) VERSION.getAcquire(this);
            out.entry = (long) WORD.getOpaque(words, 2 * index);
            out.bitmap = (long) WORD.getOpaque(words, 2 * index + 1);
            VarHandle.loadLoadFence();
            if ((before & 1) == 0 && (int) VERSION.getOpaque(this) == before) {
                return;
            }
            Thread.onSpinWait();
        }
    }

    /** A word as it is now; for who alone changes them. */
    long word(int index) {
        return words[index];
    }

    /** Shows changed words to everybody. One thread at a time. */
    void publish(int firstWord, long[] newWords, int wordCount) {
        int before = (int) VERSION.get(this);
        VERSION.setOpaque(this, before + 1);
        VarHandle.storeStoreFence();
        for (int i = 0; i < wordCount; i++) {
            WORD.setRelease(words, firstWord + i, newWords[i]);
        }
        VERSION.setRelease(this, before + 2);
    }

    private static VarHandle handle() {
        try {
            return MethodHandles.lookup().findVarHandle(L2Slice.class, "version", int.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }
}

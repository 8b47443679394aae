// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import dev.vublk.blockdev.file.LoopQueue;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.NativeMemory;
import org.jspecify.annotations.Nullable;

/**
 * Writes changed L2 entries to the file and then shows them to everybody: so whoever acts upon an entry acts upon what a killed
 * process leaves behind. Thread-safe.
 *
 * <p>One write of a slice is under way at a time, by one of those who wait for it; what is changed meanwhile goes into the next
 * one together. What the entries name must be in the file, and as stable as it has to be, before.
 */
final class L2Commit {
    /** What is written at least, for O_DIRECT's sake. */
    private static final int PIECE_BYTES = 4096;

    private L2Commit() {}

    /** Commits a change of a pinned slice: 0, or a negative errno; then the entries are what they were. */
    static int commit(WritableImage image, MetadataFile file, L2Slice slice, L2Change change) {
        enqueue(slice, change);
        while (true) {
            Turn turn = turn(slice, change, file.queue());
            if (turn == Turn.DONE) {
                return change.result;
            }
            if (turn == Turn.WRITE) {
                L2Change group = takeGroup(slice);
                int result = write(file, slice, group, change);
                image.countCommit();
                finish(slice, group, result);
            } else {
                file.queue().get().await();
            }
        }
    }

    private enum Turn {
        DONE,
        WRITE,
        WAIT
    }

    private static void enqueue(L2Slice slice, L2Change change) {
        synchronized (slice) {
            change.isDone = false;
            change.next = null;
            if (slice.lastPending == null) {
                slice.firstPending = change;
            } else {
                slice.lastPending.next = change;
            }
            slice.lastPending = change;
        }
    }

    private static Turn turn(L2Slice slice, L2Change change, LoopQueue queue) {
        synchronized (slice) {
            if (change.isDone) {
                return Turn.DONE;
            }
            if (slice.isWriting) {
                change.waiting = queue;
                queue.get(); // Made on its own loop.
                return Turn.WAIT;
            }
            slice.isWriting = true;
            return Turn.WRITE;
        }
    }

    /** Everything that is pending; the caller's change is among it, or else it would be done. */
    private static @Nullable L2Change takeGroup(L2Slice slice) {
        synchronized (slice) {
            L2Change group = slice.firstPending;
            slice.firstPending = null;
            slice.lastPending = null;
            return group;
        }
    }

    /** Writes the slice as it is with the changes of {@code group}, in memory of {@code own}. */
    private static int write(MetadataFile file, L2Slice slice, @Nullable L2Change group, L2Change own) {
        int wordCount = slice.entryCount() * slice.wordsPerEntry();
        long buffer = own.buffer(wordCount * Long.BYTES);
        if (buffer == 0) {
            return -Errno.ENOMEM;
        }
        for (int i = 0; i < wordCount; i++) {
            NativeMemory.putLong(buffer + 8L * i, Long.reverseBytes(slice.word(i)));
        }
        int start = wordCount;
        int end = 0;
        for (L2Change change = group; change != null; change = change.next) {
            int first = change.firstIndex * slice.wordsPerEntry();
            int count = change.entryCount * slice.wordsPerEntry();
            for (int i = 0; i < count; i++) {
                NativeMemory.putLong(buffer + 8L * (first + i), Long.reverseBytes(change.words()[i]));
            }
            start = Math.min(start, first);
            end = Math.max(end, first + count);
        }
        return write(file, slice, buffer, 8 * start, 8 * end, 8 * wordCount);
    }

    private static int write(MetadataFile file, L2Slice slice, long buffer, int start, int end, int sliceBytes) {
        int piece = Math.min(PIECE_BYTES, sliceBytes);
        int from = slice.isSuspect ? 0 : start & -piece;
        int to = slice.isSuspect ? sliceBytes : (end + piece - 1) & -piece;
        int result = file.write(slice.fileOffset + from, buffer + from, to - from, false);
        slice.isSuspect = result < 0;
        return result;
    }

    private static void finish(L2Slice slice, @Nullable L2Change group, int result) {
        synchronized (slice) {
            slice.isWriting = false;
            L2Change change = group;
            while (change != null) {
                L2Change next = change.next;
                if (result == 0) {
                    slice.publish(
                            change.firstIndex * slice.wordsPerEntry(),
                            change.words(),
                            change.entryCount * slice.wordsPerEntry());
                }
                change.result = result;
                change.isDone = true; // From here on it is its owner's.
                wake(change);
                change = next;
            }
            for (L2Change next = slice.firstPending; next != null; next = next.next) {
                wake(next); // One of them writes.
            }
        }
    }

    private static void wake(L2Change change) {
        LoopQueue queue = change.waiting;
        if (queue != null) {
            change.waiting = null;
            queue.get().wakeAllFromAnyThread();
        }
    }

    /** Writes a suspect slice as it is known here, so that the file has the same again. */
    static int repair(WritableImage image, MetadataFile file, L2Slice slice, L2Change change) {
        change.begin(0, 0, slice.wordsPerEntry());
        return commit(image, file, slice, change);
    }
}

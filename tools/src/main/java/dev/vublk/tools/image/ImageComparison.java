// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import dev.vublk.blockdev.BlockStatus;
import dev.vublk.blockdev.ImageType;
import dev.vublk.blockdev.linux.NativeMemory;
import java.io.IOException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.LongConsumer;

/**
 * Compares what two disks read as, whatever format they have; what both know to be zeroes is not read. The two are read at the same
 * time, each by a thread of its own.
 */
public final class ImageComparison implements AutoCloseable {
    /** How much is read at once. Larger is no faster. */
    private static final int PIECE_BYTES = 2 << 20;

    /** Less is read twice in less time than another thread takes to wake. */
    private static final int PARALLEL_BYTES = 512 << 10;

    private static final int SECTOR_BYTES = 512;

    private final OpenedDisk first;
    private final OpenedDisk second;
    private final boolean strict;
    private final LongConsumer progress;
    private final BlockStatus firstStatus = new BlockStatus();
    private final BlockStatus secondStatus = new BlockStatus();
    private final long firstBuffer = NativeMemory.allocateZeroed(PIECE_BYTES);
    private final long secondBuffer = NativeMemory.allocateZeroed(PIECE_BYTES);
    private final long zeroes = NativeMemory.allocateZeroed(PIECE_BYTES);
    private final ExecutorService reader = Executors.newSingleThreadExecutor(
            Thread.ofPlatform().daemon().name("compare").factory());

    private ImageComparison(OpenedDisk first, OpenedDisk second, boolean strict, LongConsumer progress) {
        this.first = first;
        this.second = second;
        this.strict = strict;
        this.progress = progress;
    }

    /** What differs first. */
    public enum Difference {
        NONE,
        /** The content at {@link Outcome#offsetBytes}. */
        CONTENT,
        /** What is allocated at {@link Outcome#offsetBytes}; strict comparisons only. */
        ALLOCATION,
        /** The size; strict comparisons only. */
        SIZE
    }

    /**
     * How a comparison ended.
     *
     * @param difference what differs
     * @param offsetBytes where
     * @param sizesDiffer whether one disk is longer; it has nothing but zeroes there unless the content differs
     */
    public record Outcome(Difference difference, long offsetBytes, boolean sizesDiffer) {}

    /**
     * Opens both disks.
     *
     * @param strict whether sizes and what is allocated must be the same, too
     * @param progress is told up to where the disks have been compared
     * @throws IOException one of them cannot be opened: one line for the user
     */
    public static ImageComparison open(
            String firstImage,
            ImageType firstType,
            String secondImage,
            ImageType secondType,
            boolean forceShare,
            boolean strict,
            LongConsumer progress)
            throws IOException {
        OpenedDisk first = OpenedDisk.open(firstImage, firstType, null, forceShare);
        try {
            OpenedDisk second = OpenedDisk.open(secondImage, secondType, null, forceShare);
            return new ImageComparison(first, second, strict, progress);
        } catch (Throwable failure) {
            first.close();
            throw failure;
        }
    }

    /** The size of the longer disk. */
    public long sizeBytes() {
        return Math.max(first.sizeBytes(), second.sizeBytes());
    }

    /**
     * Compares until something differs.
     *
     * @throws IOException one of them cannot be read: one line for the user
     */
    public Outcome run() throws IOException {
        boolean sizesDiffer = first.sizeBytes() != second.sizeBytes();
        if (strict && sizesDiffer) {
            return new Outcome(Difference.SIZE, 0, true);
        }
        long common = Math.min(first.sizeBytes(), second.sizeBytes());
        long at = 0;
        while (at < common) {
            first.status(at, common - at, firstStatus);
            second.status(at, common - at, secondStatus);
            long length = Math.min(firstStatus.lengthBytes, secondStatus.lengthBytes);
            if (strict && isAllocated(firstStatus) != isAllocated(secondStatus)) {
                return new Outcome(Difference.ALLOCATION, at, false);
            }
            long differs = compare(at, length);
            if (differs >= 0) {
                return new Outcome(Difference.CONTENT, differs, sizesDiffer);
            }
            at += length;
            progress.accept(at);
        }
        return sizesDiffer ? compareRest(common) : new Outcome(Difference.NONE, 0, false);
    }

    private static boolean isAllocated(BlockStatus status) {
        return status.present && (status.data || (status.zero && status.depth == 0));
    }

    /** Where a range differs, in whole sectors; -1 when it does not. */
    private long compare(long offset, long lengthBytes) throws IOException {
        if (firstStatus.zero && secondStatus.zero) {
            return -1;
        }
        for (long done = 0; done < lengthBytes; done += PIECE_BYTES) {
            int length = (int) Math.min(PIECE_BYTES, lengthBytes - done);
            read(offset + done, length);
            long ours = firstStatus.zero ? zeroes : firstBuffer;
            long theirs = secondStatus.zero ? zeroes : secondBuffer;
            if (!NativeMemory.equals(ours, theirs, length)) {
                return offset + done + firstDifference(ours, theirs, length);
            }
            progress.accept(offset + done + length);
        }
        return -1;
    }

    private void read(long offset, int length) throws IOException {
        if (length < PARALLEL_BYTES && !firstStatus.zero && !secondStatus.zero) {
            first.read(offset, firstBuffer, length);
            second.read(offset, secondBuffer, length);
            return;
        }
        if (firstStatus.zero || secondStatus.zero) {
            (firstStatus.zero ? second : first).read(offset, firstStatus.zero ? secondBuffer : firstBuffer, length);
            return;
        }
        Future<?> reading = reader.submit(() -> {
            second.read(offset, secondBuffer, length);
            return null;
        });
        try {
            first.read(offset, firstBuffer, length);
        } finally {
            await(reading);
        }
    }

    private static void await(Future<?> reading) throws IOException {
        boolean interrupted = false;
        while (true) {
            try {
                reading.get();
                break;
            } catch (InterruptedException e) {
                interrupted = true; // The buffer is in use until the read is done.
            } catch (ExecutionException e) {
                throw e.getCause() instanceof IOException failure ? failure : new IOException(e.getCause());
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private static int firstDifference(long ours, long theirs, int length) {
        int at = 0;
        while (at < length && NativeMemory.equals(ours + at, theirs + at, Math.min(SECTOR_BYTES, length - at))) {
            at += SECTOR_BYTES;
        }
        return at;
    }

    /** The longer disk must have zeroes behind the end of the shorter one. */
    private Outcome compareRest(long from) throws IOException {
        OpenedDisk longer = first.sizeBytes() > second.sizeBytes() ? first : second;
        long at = from;
        while (at < longer.sizeBytes()) {
            longer.status(at, longer.sizeBytes() - at, firstStatus);
            for (long done = 0; done < firstStatus.lengthBytes && !firstStatus.zero; done += PIECE_BYTES) {
                int length = (int) Math.min(PIECE_BYTES, firstStatus.lengthBytes - done);
                longer.read(at + done, firstBuffer, length);
                if (!NativeMemory.equals(firstBuffer, zeroes, length)) {
                    return new Outcome(
                            Difference.CONTENT, at + done + firstDifference(firstBuffer, zeroes, length), true);
                }
            }
            at += firstStatus.lengthBytes;
            progress.accept(at);
        }
        return new Outcome(Difference.NONE, 0, true);
    }

    @Override
    public void close() {
        reader.shutdown();
        first.close();
        second.close();
        NativeMemory.free(firstBuffer);
        NativeMemory.free(secondBuffer);
        NativeMemory.free(zeroes);
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.blockdev.linux.PosixFile;
import java.io.IOException;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.ArrayList;

/**
 * The pages of a file in memory, in this process's address space, and which of them are known to be there: touching a hole
 * would fill it with memory, and end in a fault where there is none left. Thread-safe.
 *
 * <p>What is known is kept a bit a chunk. It may lag behind what others do to the file, which costs memory or a fault that
 * the toucher must survive anyway, but never a wrong byte: the pages are the file.
 */
final class FileMapping implements AutoCloseable {
    /** A bit for 64 KiB, or for more where that would be more than four million bits. Both arbitrary. */
    private static final int CHUNK_SHIFT_MIN = 16;

    private static final int CHUNKS_MAX_SHIFT = 22;

    private static final long PAGE_BYTES = NativeMemory.PAGE_BYTES;

    private static final VarHandle BITS = MethodHandles.arrayElementVarHandle(long[].class);

    /** The mapping at some moment; an older one stays mapped while the file is open. */
    static final class View {
        private final long address;
        private final long lengthBytes;
        private final int chunkShift;

        /** A bit for each chunk that has no hole, shared by all loops. */
        private final long[] present;

        private View(long address, long lengthBytes) {
            this.address = address;
            this.lengthBytes = lengthBytes;
            this.chunkShift =
                    Math.max(CHUNK_SHIFT_MIN, Long.SIZE - Long.numberOfLeadingZeros(lengthBytes) - CHUNKS_MAX_SHIFT);
            this.present = new long[(int) (lengthBytes >>> (chunkShift + 6)) + 1];
        }

        /** How much of the file is mapped, or more than it has. */
        long lengthBytes() {
            return lengthBytes;
        }

        /** Where a byte of the file is. */
        long addressOf(long offsetBytes) {
            return address + offsetBytes;
        }

        /** Whether the range, which is not empty, is mapped and known to have no hole. */
        boolean isPresent(long offsetBytes, long rangeBytes) {
            long endBytes = offsetBytes + rangeBytes;
            if (endBytes > lengthBytes) {
                return false;
            }
            long last = (endBytes - 1) >>> chunkShift;
            for (long chunk = offsetBytes >>> chunkShift; chunk <= last; chunk++) {
                if (((long) BITS.getOpaque(present, (int) (chunk >>> 6)) & (1L << chunk)) == 0) {
                    return false;
                }
            }
            return true;
        }
    }

    private final int fd;
    private final boolean writable;

    /** Whether the kernel tells us the truth about pages; without, none is touched. */
    private final boolean knowsPages;

    private final ArrayList<View> all = new ArrayList<>();
    private volatile View view;

    private FileMapping(int fd, boolean writable, boolean knowsPages, View first) {
        this.fd = fd;
        this.writable = writable;
        this.knowsPages = knowsPages;
        view = first;
        all.add(first);
    }

    /**
     * Maps a file; it stays the caller's.
     *
     * @param writable whether it has been opened for writing
     * @param mayWrite whether this process could open it so
     */
    static FileMapping of(int fd, long sizeBytes, boolean writable, boolean mayWrite) throws IOException {
        return new FileMapping(fd, writable, mayWrite, map(fd, sizeBytes, writable));
    }

    private static View map(int fd, long sizeBytes, boolean writable) throws IOException {
        long address = PosixFile.map(fd, sizeBytes, writable);
        if (address < 0) {
            throw new IOException("mmap: " + Errno.describe((int) address));
        }
        return new View(address, sizeBytes);
    }

    View view() {
        return view;
    }

    /** The file has grown: maps all of it, and learns anew what is there. One thread at a time. */
    void growTo(long sizeBytes) throws IOException {
        if (sizeBytes > view.lengthBytes) {
            View grown = map(fd, sizeBytes, writable);
            all.add(grown);
            view = grown;
        }
    }

    /** Space that {@link #learn} needs: a byte for each page of a chunk. */
    long vectorBytes() {
        return vectorBytes(view);
    }

    private static long vectorBytes(View of) {
        return (1L << of.chunkShift) / PAGE_BYTES;
    }

    /**
     * The range has been read or written by a system call: finds out which of its chunks have no hole. Any loop.
     *
     * @param vectorAddress space of this loop's
     * @param vectorBytes how much of it; less than {@link #vectorBytes} and nothing is learned
     */
    void learn(long offsetBytes, long rangeBytes, long vectorAddress, long vectorBytes) {
        View now = view;
        if (!knowsPages || vectorBytes < vectorBytes(now)) {
            return;
        }
        long endBytes = Math.min(offsetBytes + rangeBytes, now.lengthBytes);
        for (long chunk = offsetBytes >>> now.chunkShift; chunk << now.chunkShift < endBytes; chunk++) {
            long startBytes = chunk << now.chunkShift;
            long chunkBytes = Math.min(1L << now.chunkShift, now.lengthBytes - startBytes);
            if (allInMemory(now.address + startBytes, chunkBytes, vectorAddress)) {
                BITS.getAndBitwiseOr(now.present, (int) (chunk >>> 6), 1L << chunk);
            }
        }
    }

    private static boolean allInMemory(long address, long lengthBytes, long vectorAddress) {
        if (PosixFile.mincore(address, lengthBytes, vectorAddress) < 0) {
            return false;
        }
        long pageCount = Math.ceilDiv(lengthBytes, PAGE_BYTES);
        for (long page = 0; page < pageCount; page++) {
            if ((NativeMemory.getByte(vectorAddress + page) & 1) == 0) {
                return false;
            }
        }
        return true;
    }

    /** The range is about to get holes, or has lost its pages. Any loop. */
    void forget(long offsetBytes, long rangeBytes) {
        View now = view;
        long endBytes = Math.min(offsetBytes + rangeBytes, now.lengthBytes);
        for (long chunk = offsetBytes >>> now.chunkShift; chunk << now.chunkShift < endBytes; chunk++) {
            BITS.getAndBitwiseAnd(now.present, (int) (chunk >>> 6), ~(1L << chunk));
        }
    }

    /** Unmaps; no loop may touch the file's pages any more. */
    @Override
    public void close() {
        for (View old : all) {
            PosixFile.unmap(old.address, old.lengthBytes);
        }
        all.clear();
    }
}

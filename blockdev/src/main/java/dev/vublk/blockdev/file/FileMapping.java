// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.file;

import dev.vublk.blockdev.linux.Errno;
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
    private final ArrayList<View> all = new ArrayList<>();
    private volatile View view;

    private FileMapping(int fd, boolean writable, View first) {
        this.fd = fd;
        this.writable = writable;
        view = first;
        all.add(first);
    }

    /** Maps a file; it stays the caller's. */
    static FileMapping of(int fd, long sizeBytes, boolean writable) throws IOException {
        return new FileMapping(fd, writable, map(fd, sizeBytes, writable));
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

    /** The range has been read or written by a system call: finds out whether its chunks have holes. Any loop. */
    void learn(long offsetBytes, long rangeBytes) {
        View now = view;
        long endBytes = Math.min(offsetBytes + rangeBytes, now.lengthBytes);
        for (long chunk = offsetBytes >>> now.chunkShift; chunk << now.chunkShift < endBytes; chunk++) {
            long chunkEndBytes = Math.min((chunk + 1) << now.chunkShift, now.lengthBytes);
            if (PosixFile.seekHole(fd, chunk << now.chunkShift) >= chunkEndBytes) {
                BITS.getAndBitwiseOr(now.present, (int) (chunk >>> 6), 1L << chunk);
            }
        }
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

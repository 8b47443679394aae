// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import dev.vublk.blockdev.IoContext.WaitQueue;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.linux.NativeMemory;
import java.util.ArrayList;
import java.util.concurrent.atomic.AtomicReferenceArray;
import org.jspecify.annotations.Nullable;

/**
 * The slices of L2 tables that are in memory, found by the guest's offset without a lock. Thread-safe.
 *
 * <p>Every slice that was not used since the hand last came by makes room for a new one. A slice that is pinned stays; one that
 * is not may be forgotten at any moment, and who still reads it reads what was true when it was found.
 */
final class L2Cache {
    /** Bytes of a slice: what one read or write of the file moves. */
    private static final int SLICE_BYTES = 4096;

    /** Fewer slices would not do for the requests of a few queues. Arbitrary. */
    private static final int SLICES_MIN = 16;

    private final L2Memory memory;
    private final L1Table l1;
    private final int clusterBits;
    private final int l2Bits;
    private final int wordsPerEntry;
    private final int sliceBits;
    private final int sliceMax;
    private final long sliceBytes;

    /** By L1 index and number of the slice in its table. Written under the monitor, read by everybody. */
    private volatile AtomicReferenceArray<@Nullable AtomicReferenceArray<@Nullable L2Slice>> slices;

    // Guarded by this.
    private final ArrayList<L2Slice> ring = new ArrayList<>();
    private final ArrayList<Long> loading = new ArrayList<>();
    private final ArrayList<WaitQueue> waiting = new ArrayList<>();
    private int hand;

    /**
     * An empty cache.
     *
     * @param cacheBytes how many bytes of tables are kept about
     */
    L2Cache(Qcow2Header header, L1Table l1, long cacheBytes) {
        this(header, l1, cacheBytes, L2Memory.OF_PROCESS);
    }

    /** The same; {@code memory} bounds it together with other caches. */
    L2Cache(Qcow2Header header, L1Table l1, long cacheBytes, L2Memory memory) {
        this.memory = memory;
        this.l1 = l1;
        this.clusterBits = header.clusterBits();
        this.l2Bits = header.l2Bits();
        this.wordsPerEntry = header.l2EntryBytes() / Long.BYTES;
        int entriesPerSlice = Math.min(1 << l2Bits, SLICE_BYTES / header.l2EntryBytes());
        this.sliceBits = Integer.numberOfTrailingZeros(entriesPerSlice);
        this.sliceBytes = (long) entriesPerSlice * header.l2EntryBytes();
        this.sliceMax = Math.clamp(cacheBytes / sliceBytes, SLICES_MIN, 1 << 24);
        this.slices = new AtomicReferenceArray<>(l1.size());
    }

    /** Which L1 entry leads to an offset of the disk. */
    int l1Index(long guestOffset) {
        return (int) (guestOffset >>> (clusterBits + l2Bits));
    }

    /** Up to which offset of the disk the L2 table that is about this one reaches. */
    long tableEnd(long guestOffset) {
        return (l1Index(guestOffset) + 1L) << (clusterBits + l2Bits);
    }

    int entriesPerSlice() {
        return 1 << sliceBits;
    }

    /** Which entry of its slice is about an offset of the disk. */
    int entryIndex(long guestOffset) {
        return (int) (guestOffset >>> clusterBits) & ((1 << sliceBits) - 1);
    }

    private int sliceIndex(long guestOffset) {
        return (int) (guestOffset >>> (clusterBits + sliceBits)) & ((1 << (l2Bits - sliceBits)) - 1);
    }

    /** The slice that is about an offset of the disk, if it is in memory. */
    @Nullable
    L2Slice find(long guestOffset) {
        AtomicReferenceArray<@Nullable L2Slice> table = slices.getAcquire(l1Index(guestOffset));
        L2Slice slice = table == null ? null : table.getAcquire(sliceIndex(guestOffset));
        if (slice != null && !slice.isUsed) {
            slice.isUsed = true;
        }
        return slice;
    }

    /**
     * Reads the slice that is about an offset of the disk, whose L2 table exists, if it is not in memory; it may be gone again when
     * the call returns.
     *
     * @return 0, or a negative errno
     */
    int load(MetadataFile file, long guestOffset) {
        while (true) {
            Claim claim = claim(guestOffset, file);
            if (claim == Claim.PRESENT) {
                return 0;
            }
            if (claim == Claim.LOAD) {
                return read(file, guestOffset);
            }
            file.queue().get().await();
        }
    }

    /** As {@link #find}, and the slice stays in memory until it is unpinned. */
    @Nullable
    synchronized L2Slice pin(long guestOffset) {
        L2Slice slice = find(guestOffset);
        if (slice != null) {
            slice.pinCount++;
        }
        return slice;
    }

    synchronized void unpin(L2Slice slice) {
        slice.pinCount--;
    }

    private enum Claim {
        PRESENT,
        LOAD,
        WAIT
    }

    private synchronized Claim claim(long guestOffset, MetadataFile file) {
        if (find(guestOffset) != null) {
            return Claim.PRESENT;
        }
        Long key = guestOffset >>> (clusterBits + sliceBits);
        if (!loading.contains(key)) {
            loading.add(key);
            return Claim.LOAD;
        }
        WaitQueue queue = file.queue().get();
        if (!waiting.contains(queue)) {
            waiting.add(queue);
        }
        return Claim.WAIT;
    }

    private int read(MetadataFile file, long guestOffset) {
        int l1Index = l1Index(guestOffset);
        long fileOffset = l1.tableOffset(l1Index) + sliceIndex(guestOffset) * sliceBytes;
        L2Slice slice = null;
        int result = -Errno.ENOMEM;
        long buffer = NativeMemory.allocate(sliceBytes);
        if (buffer != 0) {
            result = file.read(fileOffset, buffer, (int) sliceBytes);
            if (result == 0) {
                long[] words = new long[(int) (sliceBytes / Long.BYTES)];
                for (int i = 0; i < words.length; i++) {
                    words[i] = Long.reverseBytes(NativeMemory.getLong(buffer + 8L * i));
                }
                slice = new L2Slice(l1Index, fileOffset, words, wordsPerEntry);
            }
            NativeMemory.free(buffer);
        }
        loaded(guestOffset, slice);
        return result;
    }

    private synchronized void loaded(long guestOffset, @Nullable L2Slice slice) {
        loading.remove((Long) (guestOffset >>> (clusterBits + sliceBits)));
        // A table that moved while its old place was read is read again by who needs it.
        if (slice != null && slice.fileOffset >>> clusterBits == l1.tableOffset(slice.l1Index) >>> clusterBits) {
            makeRoom();
            AtomicReferenceArray<@Nullable L2Slice> table = slices.get(slice.l1Index);
            if (table == null) {
                table = new AtomicReferenceArray<>(1 << (l2Bits - sliceBits));
                slices.setRelease(slice.l1Index, table);
            }
            table.setRelease(sliceIndex(guestOffset), slice);
            ring.add(slice);
            memory.add(1, sliceBytes);
        }
        for (int i = 0; i < waiting.size(); i++) {
            waiting.get(i).wakeAllFromAnyThread();
        }
        waiting.clear();
    }

    /** Forgets slices while there are as many as there may be, here or in all caches together, and one can be found. */
    private void makeRoom() {
        for (int tries = 2 * ring.size(); isFull() && tries > 0; tries--) {
            hand = hand + 1 < ring.size() ? hand + 1 : 0;
            L2Slice slice = ring.get(hand);
            if (slice.isDropped || (slice.pinCount == 0 && !slice.isUsed)) {
                ring.set(hand, ring.getLast());
                ring.removeLast();
                memory.add(-1, sliceBytes);
                forget(slice);
            } else {
                slice.isUsed = false;
            }
        }
    }

    private boolean isFull() {
        return ring.size() >= sliceMax || (ring.size() >= SLICES_MIN && memory.isFull());
    }

    private void forget(L2Slice slice) {
        AtomicReferenceArray<@Nullable L2Slice> table = slices.get(slice.l1Index);
        if (!slice.isDropped && table != null) {
            int index = (int) ((slice.fileOffset & ((1L << clusterBits) - 1)) / sliceBytes);
            table.setRelease(index, null);
        }
    }

    /**
     * Lets an L1 entry, which has been written, name another L2 table, and forgets the slices of the old one: whoever sees the new
     * entry pins no slice of the old table.
     */
    synchronized void moveTable(int l1Index, long entry) {
        l1.set(l1Index, entry);
        slices.setRelease(l1Index, null);
        for (int i = 0; i < ring.size(); i++) {
            if (ring.get(i).l1Index == l1Index) {
                ring.get(i).isDropped = true;
            }
        }
    }

    /** The L1 table has become longer. */
    synchronized void grow() {
        AtomicReferenceArray<@Nullable AtomicReferenceArray<@Nullable L2Slice>> grown =
                new AtomicReferenceArray<>(l1.size());
        for (int i = 0; i < slices.length(); i++) {
            grown.set(i, slices.get(i));
        }
        slices = grown;
    }

    /** Forgets everything: the image is closed, or its file may have changed. No request is under way. */
    synchronized void clear() {
        for (int i = 0; i < slices.length(); i++) {
            slices.set(i, null);
        }
        memory.add(-ring.size(), sliceBytes);
        ring.clear();
        hand = 0;
    }
}

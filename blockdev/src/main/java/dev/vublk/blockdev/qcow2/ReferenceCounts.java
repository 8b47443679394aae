// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import dev.vublk.blockdev.linux.NativeMemory;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;

/**
 * How often each cluster of an image file is referred to, and as what: a byte a cluster, in native memory, only where there are
 * references. Used by one thread.
 *
 * <pre>
 *   bits 0..4  the count; 31: it is in a map of larger counts
 *   bit  5     it is referred to as data
 *   bit  6     as an L2 table
 *   bit  7     as other metadata
 * </pre>
 */
final class ReferenceCounts implements AutoCloseable {
    /** What a cluster is to who refers to it. Data and L2 tables are shared with snapshots, other metadata with nobody. */
    enum Role {
        DATA(1 << 5),
        L2_TABLE(1 << 6),
        METADATA(1 << 7);

        private final int bit;

        Role(int bit) {
            this.bit = bit;
        }
    }

    /** Clusters in one block of memory. Arbitrary; a power of two. */
    private static final int CHUNK_BITS = 16;

    private static final int CHUNK_CLUSTERS = 1 << CHUNK_BITS;

    /** A directory of 32 MiB: 2^38 clusters, 16 PiB of 64 KiB clusters. */
    private static final int CHUNKS_MAX = 1 << 22;

    /** The first cluster that cannot be counted. */
    static final long CLUSTERS_MAX = (long) CHUNKS_MAX << CHUNK_BITS;

    private static final int COUNT_MASK = 31;

    private final Map<Long, Long> largeCounts = new HashMap<>();
    private long[] chunks = new long[16];

    /** Counts one more reference. */
    void add(long cluster, Role role) {
        long address = addressOf(cluster);
        int word = NativeMemory.getByte(address) & 0xff;
        int count = word & COUNT_MASK;
        if (count < COUNT_MASK - 1) {
            count++;
        } else {
            count = COUNT_MASK;
            largeCounts.merge(cluster, (long) COUNT_MASK, (old, first) -> old + 1);
        }
        NativeMemory.putByte(address, (byte) ((word & ~COUNT_MASK) | role.bit | count));
    }

    /** How many references were counted. */
    long count(long cluster) {
        int count = word(cluster) & COUNT_MASK;
        return count < COUNT_MASK ? count : largeCounts.getOrDefault(cluster, (long) COUNT_MASK);
    }

    /** Whether a cluster is referred to as different things, or metadata that nobody shares a second time. */
    boolean isOverlap(long cluster) {
        int roles = word(cluster) & ~COUNT_MASK;
        return Integer.bitCount(roles) > 1 || isMetadataOverlap(cluster);
    }

    /** Whether metadata that nobody may share is referred to a second time. */
    boolean isMetadataOverlap(long cluster) {
        int word = word(cluster);
        return (word & Role.METADATA.bit) != 0 && (word & COUNT_MASK) > 1;
    }

    private int word(long cluster) {
        int chunk = chunkOf(cluster);
        return chunk >= chunks.length || chunks[chunk] == 0
                ? 0
                : NativeMemory.getByte(chunks[chunk] + offsetOf(cluster)) & 0xff;
    }

    /** The first cluster from {@code from} on, and before {@code to}, that is referred to; {@code to} when there is none. */
    long nextCounted(long from, long to) {
        long cluster = from;
        while (cluster < to) {
            int chunk = chunkOf(cluster);
            if (chunk >= chunks.length) {
                return to;
            }
            long end = Math.min(to, ((long) chunk + 1) << CHUNK_BITS);
            if (chunks[chunk] != 0) {
                long found = nextInChunk(chunks[chunk], cluster, end);
                if (found < end) {
                    return found;
                }
            }
            cluster = end;
        }
        return to;
    }

    private static long nextInChunk(long address, long from, long end) {
        long cluster = from;
        while (cluster < end) {
            if ((cluster & 7) == 0 && cluster + 8 <= end && NativeMemory.getLong(address + offsetOf(cluster)) == 0) {
                cluster += 8;
            } else if (NativeMemory.getByte(address + offsetOf(cluster)) != 0) {
                return cluster;
            } else {
                cluster++;
            }
        }
        return end;
    }

    /** Whether none of eight clusters, of which the first has a number that eight divides, is referred to. */
    boolean isEightUnused(long cluster) {
        int chunk = chunkOf(cluster);
        return chunk >= chunks.length
                || chunks[chunk] == 0
                || NativeMemory.getLong(chunks[chunk] + offsetOf(cluster)) == 0;
    }

    /** One more than the last cluster that is referred to. */
    long end() {
        for (int chunk = chunks.length - 1; chunk >= 0; chunk--) {
            if (chunks[chunk] == 0) {
                continue;
            }
            for (int i = CHUNK_CLUSTERS - 1; i >= 0; i--) {
                if (NativeMemory.getByte(chunks[chunk] + i) != 0) {
                    return ((long) chunk << CHUNK_BITS) + i + 1;
                }
            }
        }
        return 0;
    }

    private long addressOf(long cluster) {
        if (cluster < 0 || cluster >= CLUSTERS_MAX) {
            throw new IllegalStateException("cluster " + cluster + " cannot be counted");
        }
        int chunk = chunkOf(cluster);
        if (chunk >= chunks.length) {
            chunks = Arrays.copyOf(chunks, Math.min(CHUNKS_MAX, Math.max(chunk + 1, chunks.length * 2)));
        }
        if (chunks[chunk] == 0) {
            chunks[chunk] = NativeMemory.allocateZeroed(CHUNK_CLUSTERS);
        }
        return chunks[chunk] + offsetOf(cluster);
    }

    /** Behind all chunks for a cluster that cannot be counted. */
    private static int chunkOf(long cluster) {
        return (int) Math.min(cluster >> CHUNK_BITS, CHUNKS_MAX);
    }

    private static int offsetOf(long cluster) {
        return (int) cluster & CHUNK_CLUSTERS - 1;
    }

    /** Gives the memory back; nothing else may be called then. */
    @Override
    public void close() {
        for (long chunk : chunks) {
            if (chunk != 0) {
                NativeMemory.free(chunk);
            }
        }
        chunks = new long[0];
    }
}

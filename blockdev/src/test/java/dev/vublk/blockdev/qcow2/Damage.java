// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static dev.vublk.blockdev.qcow2.Qcow2Layout.*;

import dev.vublk.blockdev.file.OfflineFile;
import dev.vublk.blockdev.linux.NativeMemory;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.jspecify.annotations.Nullable;

/**
 * Damage that a test does to the metadata of a sound image.
 *
 * @param kind what was done
 * @param where to what
 */
record Damage(Kind kind, String where) {
    enum Kind {
        LEAK(true),
        REFCOUNT_TOO_HIGH(true),
        REFCOUNT_TOO_LOW(true),
        REFCOUNT_ZERO(true),
        RANDOM_REFCOUNTS(true),
        L2_FLAG(true),
        L1_FLAG(true),
        BLOCK_LOST(true),
        BLOCK_OUTSIDE(true),
        BLOCK_RESERVED_BITS(true),
        BLOCK_SHARED(true),
        TWO_ENTRIES_ONE_CLUSTER(true),
        CLUSTER_OUTSIDE(false),
        CLUSTER_UNALIGNED(false),
        L2_RESERVED_BITS(false),
        L1_RESERVED_BITS(false),
        SUBCLUSTERS(false);

        final boolean repairable;

        Kind(boolean repairable) {
            this.repairable = repairable;
        }
    }

    boolean isRepairable() {
        return kind.repairable;
    }

    /** Does one kind of damage. */
    static Damage of(Path image, Random random) throws IOException {
        try (OfflineFile file = OfflineFile.open(image.toString(), true, false)) {
            Injury injury = new Injury(file, random);
            for (; ; ) {
                Kind kind = Kind.values()[random.nextInt(Kind.values().length)];
                String where = injury.inflict(kind);
                if (where != null) {
                    return new Damage(kind, where);
                }
            }
        }
    }

    /** The image that is being damaged. */
    private static final class Injury {
        private final OfflineFile file;
        private final Random random;
        private final Qcow2Header header;
        private final List<Long> l2EntryOffsets = new ArrayList<>();
        private final List<Long> l1EntryOffsets = new ArrayList<>();
        private final List<Long> blockEntryOffsets = new ArrayList<>();

        Injury(OfflineFile file, Random random) throws IOException {
            this.file = file;
            this.random = random;
            header = Qcow2Check.readHeader(file);
            for (int i = 0; i < header.l1Size(); i++) {
                long at = header.l1TableOffset() + 8L * i;
                long l2 = get(at) & OFFSET_MASK;
                if (l2 != 0) {
                    l1EntryOffsets.add(at);
                    for (int e = 0; e < header.clusterBytes(); e += header.l2EntryBytes()) {
                        long entry = get(l2 + e);
                        if ((entry & OFLAG_COMPRESSED) == 0 && (entry & OFFSET_MASK) != 0) {
                            l2EntryOffsets.add(l2 + e);
                        }
                    }
                }
            }
            for (int i = 0; i < header.refcountTableClusters() * header.clusterBytes() / 8; i++) {
                long at = header.refcountTableOffset() + 8L * i;
                if (get(at) != 0) {
                    blockEntryOffsets.add(at);
                }
            }
        }

        private long get(long offset) throws IOException {
            return ByteBuffer.wrap(file.read(offset, 8)).getLong();
        }

        private void put(long offset, long value) throws IOException {
            file.write(ByteBuffer.allocate(8).putLong(value).array(), offset);
        }

        private <T> T any(List<T> list) {
            return list.get(random.nextInt(list.size()));
        }

        /** Where, or null when there is nothing that can be damaged so. */
        @Nullable
        String inflict(Kind kind) throws IOException {
            long clusters = file.sizeBytes() / header.clusterBytes();
            return switch (kind) {
                case LEAK, REFCOUNT_TOO_HIGH, REFCOUNT_TOO_LOW, REFCOUNT_ZERO, RANDOM_REFCOUNTS -> {
                    yield refcounts(kind, clusters);
                }
                case L2_FLAG -> {
                    yield flip(l2EntryOffsets, OFLAG_COPIED);
                }
                case L1_FLAG -> {
                    yield flip(l1EntryOffsets, OFLAG_COPIED);
                }
                case L2_RESERVED_BITS -> {
                    yield flip(l2EntryOffsets, 1L << (1 + random.nextInt(8)));
                }
                case L1_RESERVED_BITS -> {
                    yield flip(l1EntryOffsets, 1L << (56 + random.nextInt(7)));
                }
                case BLOCK_LOST -> {
                    long at = any(blockEntryOffsets);
                    put(at, 0);
                    yield "table entry at " + at;
                }
                case BLOCK_OUTSIDE -> {
                    long at = any(blockEntryOffsets);
                    put(at, (clusters + 5 + random.nextInt(1000)) << header.clusterBits());
                    yield "table entry at " + at;
                }
                case BLOCK_RESERVED_BITS -> {
                    yield flip(blockEntryOffsets, 1L << random.nextInt(9));
                }
                case BLOCK_SHARED -> {
                    long at = header.refcountTableOffset() + 8L * random.nextInt(header.clusterBytes() / 8);
                    long block = get(any(blockEntryOffsets));
                    if (get(at) != 0 || header.refcountTableClusters() == 0) {
                        yield null;
                    }
                    put(at, block);
                    yield "table entry at " + at;
                }
                case TWO_ENTRIES_ONE_CLUSTER -> {
                    if (l2EntryOffsets.size() < 2 || header.refcountOrder() == 0) {
                        yield null; // One bit cannot say that a cluster is used twice.
                    }
                    long from = any(l2EntryOffsets);
                    long to = any(l2EntryOffsets);
                    put(to, get(from));
                    yield from + " copied to " + to;
                }
                case CLUSTER_OUTSIDE -> {
                    if (l2EntryOffsets.isEmpty()) {
                        yield null;
                    }
                    long at = any(l2EntryOffsets);
                    put(at, (get(at) & ~OFFSET_MASK) | ((clusters + 3) << header.clusterBits()));
                    yield "L2 entry at " + at;
                }
                case CLUSTER_UNALIGNED -> {
                    yield header.clusterBits() == 9 ? null : flip(l2EntryOffsets, 512);
                }
                case SUBCLUSTERS -> {
                    if (!header.hasSubclusters() || l2EntryOffsets.isEmpty()) {
                        yield null;
                    }
                    long at = any(l2EntryOffsets);
                    put(at + 8, 0x1_0000_0001L);
                    yield "L2 entry at " + at;
                }
            };
        }

        private @Nullable String flip(List<Long> offsets, long bits) throws IOException {
            if (offsets.isEmpty()) {
                return null;
            }
            long at = any(offsets);
            put(at, get(at) ^ bits);
            return "entry at " + at + ", bits " + Long.toHexString(bits);
        }

        private @Nullable String refcounts(Kind kind, long clusters) throws IOException {
            int order = header.refcountOrder();
            long block = get(any(blockEntryOffsets));
            long buffer = NativeMemory.allocateZeroed(header.clusterBytes());
            try {
                file.read(buffer, block, header.clusterBytes());
                int times = kind == Kind.RANDOM_REFCOUNTS ? 1 + random.nextInt(50) : 1;
                StringBuilder where = new StringBuilder("block at " + block + ":");
                for (int i = 0; i < times; i++) {
                    int index = random.nextInt((int) Math.min(1L << header.refcountBlockBits(), clusters));
                    if (tableIndex(block) * (1L << header.refcountBlockBits()) + index >= clusters) {
                        return null; // QEMU does not look behind the end of the file.
                    }
                    long old = RefcountEntries.get(buffer, order, index);
                    Long changed = changed(kind, old, order);
                    if (changed == null) {
                        return null;
                    }
                    RefcountEntries.set(buffer, order, index, changed);
                    where.append(" [")
                            .append(index)
                            .append("] ")
                            .append(old)
                            .append("->")
                            .append(changed);
                }
                file.write(buffer, block, header.clusterBytes());
                return where.toString();
            } finally {
                NativeMemory.free(buffer);
            }
        }

        private @Nullable Long changed(Kind kind, long old, int order) {
            return switch (kind) {
                case LEAK -> old == 0 ? 1L : null;
                case REFCOUNT_TOO_HIGH -> old > 0 && old < RefcountEntries.max(Math.min(order, 5)) ? old + 1 : null;
                case REFCOUNT_TOO_LOW -> old > 1 ? old - 1 : null;
                case REFCOUNT_ZERO -> old > 0 ? 0L : null;
                default -> random.nextLong() & RefcountEntries.max(order) & Integer.MAX_VALUE;
            };
        }

        private long tableIndex(long block) throws IOException {
            return (blockEntryOffset(block) - header.refcountTableOffset()) / 8;
        }

        private long blockEntryOffset(long block) throws IOException {
            for (long at : blockEntryOffsets) {
                if (get(at) == block) {
                    return at;
                }
            }
            throw new AssertionError("no refcount block at " + block);
        }
    }
}

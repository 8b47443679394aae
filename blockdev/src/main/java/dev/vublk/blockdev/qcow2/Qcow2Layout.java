// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

/**
 * Numbers of the qcow2 format as its specification (QEMU's {@code docs/interop/qcow2.txt}) has them, and the bounds that QEMU
 * keeps besides. Everything in the file is big-endian.
 *
 * <pre>
 *   header (cluster 0)
 *     0 magic | 4 version | 8 backing_file_offset (8) | 16 backing_file_size | 20 cluster_bits | 24 size (8)
 *    32 crypt_method | 36 l1_size | 40 l1_table_offset (8) | 48 refcount_table_offset (8)
 *    56 refcount_table_clusters | 60 nb_snapshots | 64 snapshots_offset (8)                        = 72, version 2
 *    72 incompatible_features (8) | 80 compatible_features (8) | 88 autoclear_features (8)
 *    96 refcount_order | 100 header_length                                                        = 104, version 3
 *   104 compression_type (1), padding                                                             = 112
 *       header extensions: type (4), length (4), data, padding to a multiple of 8; … END
 *       backing file name
 *
 *   guest offset    | L1 index | L2 index | offset in cluster |      L1 -> L2 table -> cluster
 *   host cluster    | refcount table index | refcount block index |  table -> block -> count
 * </pre>
 */
public final class Qcow2Layout {
    private Qcow2Layout() {}

    // ---- header

    /** {@code QFI\xfb}. */
    public static final int MAGIC = 0x514649fb;

    public static final int VERSION_2 = 2;
    public static final int VERSION_3 = 3;

    public static final int HEADER_MAGIC = 0;
    public static final int HEADER_VERSION = 4;
    public static final int HEADER_BACKING_FILE_OFFSET = 8;
    public static final int HEADER_BACKING_FILE_SIZE = 16;
    public static final int HEADER_CLUSTER_BITS = 20;
    public static final int HEADER_SIZE = 24;
    public static final int HEADER_CRYPT_METHOD = 32;
    public static final int HEADER_L1_SIZE = 36;
    public static final int HEADER_L1_TABLE_OFFSET = 40;
    public static final int HEADER_REFCOUNT_TABLE_OFFSET = 48;
    public static final int HEADER_REFCOUNT_TABLE_CLUSTERS = 56;
    public static final int HEADER_NB_SNAPSHOTS = 60;
    public static final int HEADER_SNAPSHOTS_OFFSET = 64;
    public static final int HEADER_INCOMPATIBLE_FEATURES = 72;
    public static final int HEADER_COMPATIBLE_FEATURES = 80;
    public static final int HEADER_AUTOCLEAR_FEATURES = 88;
    public static final int HEADER_REFCOUNT_ORDER = 96;
    public static final int HEADER_LENGTH = 100;
    public static final int HEADER_COMPRESSION_TYPE = 104;

    /** Length of a version 2 header. */
    public static final int V2_HEADER_BYTES = 72;

    /** Least length of a version 3 header. */
    public static final int V3_HEADER_BYTES = 104;

    /** Length of a version 3 header with every field known here; what QEMU writes, and we. */
    public static final int FULL_HEADER_BYTES = 112;

    public static final int CRYPT_NONE = 0;
    public static final int CRYPT_AES = 1;
    public static final int CRYPT_LUKS = 2;

    public static final int COMPRESSION_ZLIB = 0;
    public static final int COMPRESSION_ZSTD = 1;

    // ---- feature bits

    /** Refcounts may be wrong: the image was not closed cleanly with lazy refcounts. */
    public static final long INCOMPATIBLE_DIRTY = 1;

    /** Metadata may be wrong: the image may be opened for reading only. */
    public static final long INCOMPATIBLE_CORRUPT = 1 << 1;

    /** Guest data is in another file. */
    public static final long INCOMPATIBLE_DATA_FILE = 1 << 2;

    /** The compression type is not zlib. */
    public static final long INCOMPATIBLE_COMPRESSION = 1 << 3;

    /** L2 entries of 128 bits: with subclusters. */
    public static final long INCOMPATIBLE_EXTENDED_L2 = 1 << 4;

    /** Every incompatible feature that is known here. */
    public static final long INCOMPATIBLE_KNOWN = INCOMPATIBLE_DIRTY
            | INCOMPATIBLE_CORRUPT
            | INCOMPATIBLE_DATA_FILE
            | INCOMPATIBLE_COMPRESSION
            | INCOMPATIBLE_EXTENDED_L2;

    /** Refcount updates may be postponed, with {@link #INCOMPATIBLE_DIRTY} set meanwhile. */
    public static final long COMPATIBLE_LAZY_REFCOUNTS = 1;

    /** The bitmaps extension is consistent with the image. */
    public static final long AUTOCLEAR_BITMAPS = 1;

    /** The external data file is a raw image in its own right. */
    public static final long AUTOCLEAR_DATA_FILE_RAW = 1 << 1;

    /** Every autoclear feature that is known here; a writer clears all others. */
    public static final long AUTOCLEAR_KNOWN = AUTOCLEAR_BITMAPS | AUTOCLEAR_DATA_FILE_RAW;

    // ---- header extensions

    /** Type and length before each extension's data. */
    public static final int EXTENSION_HEADER_BYTES = 8;

    public static final int EXTENSION_END = 0;
    public static final int EXTENSION_BACKING_FORMAT = 0xe2792aca;
    public static final int EXTENSION_FEATURE_TABLE = 0x6803f857;
    public static final int EXTENSION_BITMAPS = 0x23852875;
    public static final int EXTENSION_CRYPTO_HEADER = 0x0537be77;
    public static final int EXTENSION_DATA_FILE = 0x44415441;

    /** Feature name table: type (1), bit number (1), name (46, padded with zeroes). */
    public static final int FEATURE_NAME_BYTES = 48;

    public static final int FEATURE_TYPE_INCOMPATIBLE = 0;
    public static final int FEATURE_TYPE_COMPATIBLE = 1;
    public static final int FEATURE_TYPE_AUTOCLEAR = 2;

    /** Bitmaps extension: nb_bitmaps (4), reserved (4), directory size (8), directory offset (8). */
    public static final int BITMAPS_EXTENSION_BYTES = 24;

    // ---- tables

    /** Bits 9..55 of L1, standard L2 and bitmap table entries: an offset in the file. */
    public static final long OFFSET_MASK = 0x00ff_ffff_ffff_fe00L;

    /** L1 and L2 entries: the refcount of what the entry names is exactly one, so it may be written in place. */
    public static final long OFLAG_COPIED = 1L << 63;

    /** L2 entries: a compressed cluster. */
    public static final long OFLAG_COMPRESSED = 1L << 62;

    /** Standard L2 entries of version 3 without subclusters: the cluster reads as zeroes. */
    public static final long OFLAG_ZERO = 1;

    /** Bits of an L1 entry that must be 0. */
    public static final long L1_RESERVED = ~(OFFSET_MASK | OFLAG_COPIED);

    /** Bits of a standard (not compressed) L2 entry that must be 0, besides {@link #OFLAG_ZERO} where that is none. */
    public static final long L2_RESERVED = ~(OFFSET_MASK | OFLAG_COPIED | OFLAG_COMPRESSED | OFLAG_ZERO);

    public static final int L1_ENTRY_BYTES = 8;
    public static final int L2_ENTRY_BYTES = 8;

    /** An L2 entry with subclusters: the entry (8), then its bitmap (8). */
    public static final int EXTENDED_L2_ENTRY_BYTES = 16;

    public static final int SUBCLUSTERS_PER_CLUSTER = 32;

    /** Low half of an extended entry's bitmap: subcluster n is allocated if bit n is set. */
    public static final long SUBCLUSTERS_ALLOCATED = 0xffff_ffffL;

    /** High half: subcluster n reads as zeroes if bit 32 + n is set. */
    public static final long SUBCLUSTERS_ZERO = SUBCLUSTERS_ALLOCATED << 32;

    /** Bits 9..63 of a refcount table entry: offset of a refcount block. */
    public static final long REFCOUNT_TABLE_OFFSET_MASK = 0xffff_ffff_ffff_fe00L;

    public static final int REFCOUNT_TABLE_ENTRY_BYTES = 8;

    /** Compressed data has its length in units of this. */
    public static final int COMPRESSED_SECTOR_BYTES = 512;

    // ---- snapshot table: fixed part, extra data, id, name, padding to a multiple of 8

    public static final int SNAPSHOT_L1_TABLE_OFFSET = 0;
    public static final int SNAPSHOT_L1_SIZE = 8;
    public static final int SNAPSHOT_ID_BYTES = 12;
    public static final int SNAPSHOT_NAME_BYTES = 14;
    public static final int SNAPSHOT_DATE_SEC = 16;
    public static final int SNAPSHOT_DATE_NSEC = 20;
    public static final int SNAPSHOT_VM_CLOCK_NSEC = 24;
    public static final int SNAPSHOT_VM_STATE_SIZE = 32;
    public static final int SNAPSHOT_EXTRA_DATA_BYTES = 36;

    /** Length of a snapshot entry's fixed part; its extra data begins here. */
    public static final int SNAPSHOT_HEADER_BYTES = 40;

    /** In the extra data. */
    public static final int SNAPSHOT_EXTRA_VM_STATE_SIZE = 0;

    public static final int SNAPSHOT_EXTRA_DISK_SIZE = 8;
    public static final int SNAPSHOT_EXTRA_ICOUNT = 16;

    /** Extra data that version 3 demands: VM state size and disk size. */
    public static final int SNAPSHOT_EXTRA_MIN_BYTES = 16;

    // ---- bounds, QEMU's where the specification has none

    public static final int CLUSTER_BITS_MIN = 9;
    public static final int CLUSTER_BITS_MAX = 21;

    /** Subclusters need clusters of 16 KiB: each has at least 512 bytes. */
    public static final int EXTENDED_L2_CLUSTER_BITS_MIN = 14;

    public static final int REFCOUNT_ORDER_MAX = 6;

    /** Refcounts of version 2 have 16 bits. */
    public static final int REFCOUNT_ORDER_V2 = 4;

    public static final int L1_MAX_BYTES = 32 << 20;
    public static final int REFCOUNT_TABLE_MAX_BYTES = 8 << 20;
    public static final int BACKING_FILE_NAME_MAX_BYTES = 1023;
    public static final int BACKING_FORMAT_MAX_BYTES = 15;
    public static final int DATA_FILE_NAME_MAX_BYTES = 1023;
    public static final int SNAPSHOTS_MAX = 65536;
    public static final int SNAPSHOT_TABLE_MAX_BYTES = 64 << 20;
    public static final int SNAPSHOT_EXTRA_DATA_MAX_BYTES = 1024;
    public static final int BITMAPS_MAX = 65535;
    public static final int BITMAP_DIRECTORY_MAX_BYTES = 64 << 20;

    /** No offset that an L1 or L2 entry names lies behind this: 2^56. */
    public static final long FILE_OFFSET_MAX = 1L << 56;

    // ---- compressed L2 entries: | 63 copied (0) | 62 compressed | additional sectors | host offset |

    /** Number of low bits of a compressed L2 entry that are the host offset. */
    public static int compressedOffsetBits(int clusterBits) {
        return 62 - (clusterBits - 8);
    }

    /** Where the compressed data of an L2 entry begins; any byte. */
    public static long compressedOffset(long entry, int clusterBits) {
        return entry & ((1L << compressedOffsetBits(clusterBits)) - 1);
    }

    /** How many bytes the compressed data of an L2 entry has at most: to the end of its last sector. */
    public static int compressedBytes(long entry, int clusterBits) {
        long additionalSectors = (entry & ~(OFLAG_COPIED | OFLAG_COMPRESSED)) >>> compressedOffsetBits(clusterBits);
        int offsetInSector = (int) compressedOffset(entry, clusterBits) & (COMPRESSED_SECTOR_BYTES - 1);
        return (int) (additionalSectors + 1) * COMPRESSED_SECTOR_BYTES - offsetInSector;
    }

    /** The L2 entry of compressed data. */
    public static long compressedEntry(long offsetBytes, int lengthBytes, int clusterBits) {
        long lastSector = (offsetBytes + lengthBytes - 1) / COMPRESSED_SECTOR_BYTES;
        long additionalSectors = lastSector - offsetBytes / COMPRESSED_SECTOR_BYTES;
        return OFLAG_COMPRESSED | additionalSectors << compressedOffsetBits(clusterBits) | offsetBytes;
    }
}

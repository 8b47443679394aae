// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static dev.vublk.blockdev.qcow2.Qcow2Layout.*;

import dev.vublk.blockdev.BlockOpenException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A qcow2 header with its extensions, of version 2 or 3, bounded: a value of this class that was decoded is safe to compute with.
 * Fields that a version 2 header lacks have the values that it implies. Any thread.
 *
 * @param version 2 or 3
 * @param clusterBits a cluster has 2^clusterBits bytes (9..21)
 * @param sizeBytes the disk's size; not always a multiple of 512
 * @param l1Size number of entries of the active L1 table
 * @param l1TableOffset where it stands
 * @param refcountTableOffset where the refcount table stands
 * @param refcountTableClusters its length in clusters
 * @param snapshotCount number of internal snapshots
 * @param snapshotsOffset where the snapshot table stands; 0 when there is none
 * @param incompatible {@code INCOMPATIBLE_*}: only known ones
 * @param compatible {@code COMPATIBLE_*}, and others
 * @param autoclear {@code AUTOCLEAR_*}, and others
 * @param refcountOrder a refcount has 2^refcountOrder bits (0..6)
 * @param compressionType {@code COMPRESSION_*}
 * @param unknownFields what the header has behind its last known field; empty mostly
 * @param backingFile name of the backing file as it stands there; null when there is none
 * @param extensions every extension in its order, without END
 */
public record Qcow2Header(
        int version,
        int clusterBits,
        long sizeBytes,
        int l1Size,
        long l1TableOffset,
        long refcountTableOffset,
        int refcountTableClusters,
        int snapshotCount,
        long snapshotsOffset,
        long incompatible,
        long compatible,
        long autoclear,
        int refcountOrder,
        int compressionType,
        List<Byte> unknownFields,
        @Nullable String backingFile,
        List<Qcow2Extension> extensions) {

    public Qcow2Header {
        unknownFields = List.copyOf(unknownFields);
        extensions = List.copyOf(extensions);
    }

    /** Whether a file that begins with these bytes (four or more) is a qcow2 image of a known version or another. */
    public static boolean hasMagic(ByteBuffer head) {
        return head.remaining() >= 4 && head.getInt(head.position()) == MAGIC;
    }

    /**
     * How many bytes of the file {@link #decode} wants to see: its first cluster.
     *
     * @param head the file's first bytes, big-endian; all that it has, or at least {@link Qcow2Layout#V3_HEADER_BYTES}
     * @throws BlockOpenException it is no qcow2 image, or one that cannot be read here
     */
    public static int clusterBytes(ByteBuffer head, String image) throws BlockOpenException {
        return new Qcow2HeaderDecoder(head, image).clusterBytes();
    }

    /**
     * The header of the image that begins with {@code head}.
     *
     * @param head the file's first cluster, or all of a shorter file, from position 0 to the limit
     * @param image the image's name, for the message
     * @throws BlockOpenException the header is damaged, hostile, or asks for what is unknown here: one line says what
     */
    public static Qcow2Header decode(ByteBuffer head, String image) throws BlockOpenException {
        return new Qcow2HeaderDecoder(head, image).decode();
    }

    public int clusterBytes() {
        return 1 << clusterBits;
    }

    /** Bytes of one L2 entry: 8, or 16 with subclusters. */
    public int l2EntryBytes() {
        return hasSubclusters() ? EXTENDED_L2_ENTRY_BYTES : L2_ENTRY_BYTES;
    }

    /** An L2 table, which is one cluster, has 2^l2Bits entries. */
    public int l2Bits() {
        return clusterBits - Integer.numberOfTrailingZeros(l2EntryBytes());
    }

    /** How much of the disk one L1 entry covers. */
    public long l1EntryCoverageBytes() {
        return 1L << (clusterBits + l2Bits());
    }

    /** A refcount block, which is one cluster, has 2^refcountBlockBits refcounts. */
    public int refcountBlockBits() {
        return clusterBits + 3 - refcountOrder;
    }

    /** Bytes of the header's own fields; extensions begin here. */
    public int headerLength() {
        return version == VERSION_2 ? V2_HEADER_BYTES : FULL_HEADER_BYTES + unknownFields.size();
    }

    public boolean isDirty() {
        return (incompatible & INCOMPATIBLE_DIRTY) != 0;
    }

    public boolean isCorrupt() {
        return (incompatible & INCOMPATIBLE_CORRUPT) != 0;
    }

    public boolean hasDataFile() {
        return (incompatible & INCOMPATIBLE_DATA_FILE) != 0;
    }

    /** Whether the external data file is a raw image in its own right. */
    public boolean hasRawDataFile() {
        return hasDataFile() && (autoclear & AUTOCLEAR_DATA_FILE_RAW) != 0;
    }

    public boolean hasSubclusters() {
        return (incompatible & INCOMPATIBLE_EXTENDED_L2) != 0;
    }

    public boolean hasLazyRefcounts() {
        return (compatible & COMPATIBLE_LAZY_REFCOUNTS) != 0;
    }

    /** The format of the backing file as the header gives it; null when it does not. */
    public @Nullable String backingFormat() {
        return text(EXTENSION_BACKING_FORMAT);
    }

    /** Name of the external data file as it stands there; null when the header has none. */
    public @Nullable String dataFile() {
        return text(EXTENSION_DATA_FILE);
    }

    private @Nullable String text(int type) {
        Qcow2Extension extension = extension(type);
        return extension == null ? null : extension.text();
    }

    /** The bitmaps, as long as the autoclear bit says that they are consistent; else null. */
    public @Nullable Qcow2BitmapsExtension bitmaps() {
        Qcow2Extension extension = (autoclear & AUTOCLEAR_BITMAPS) == 0 ? null : extension(EXTENSION_BITMAPS);
        return extension == null ? null : Qcow2BitmapsExtension.decode(extension);
    }

    /** The first extension of a type, or null. */
    public @Nullable Qcow2Extension extension(int type) {
        for (Qcow2Extension extension : extensions) {
            if (extension.type() == type) {
                return extension;
            }
        }
        return null;
    }

    /** The header, its extensions and the backing file's name, as they stand at the beginning of the file. */
    public byte[] encode() {
        int nameOffset = headerLength() + EXTENSION_HEADER_BYTES;
        for (Qcow2Extension extension : extensions) {
            nameOffset += extension.storedBytes();
        }
        byte[] name = backingFile == null ? new byte[0] : backingFile.getBytes(StandardCharsets.UTF_8);
        if (nameOffset + name.length > clusterBytes()) {
            throw new IllegalArgumentException("a qcow2 header of " + (nameOffset + name.length)
                    + " bytes does not fit into a cluster of " + clusterBytes());
        }
        ByteBuffer out = ByteBuffer.allocate(nameOffset + name.length);
        encodeFields(out, backingFile == null ? 0 : nameOffset, name.length);
        out.position(headerLength());
        for (Qcow2Extension extension : extensions) {
            extension.encode(out);
        }
        out.putInt(EXTENSION_END).putInt(0).put(name);
        return out.array();
    }

    private void encodeFields(ByteBuffer out, int backingFileOffset, int backingFileBytes) {
        out.putInt(HEADER_MAGIC, MAGIC);
        out.putInt(HEADER_VERSION, version);
        out.putLong(HEADER_BACKING_FILE_OFFSET, backingFileOffset);
        out.putInt(HEADER_BACKING_FILE_SIZE, backingFileBytes);
        out.putInt(HEADER_CLUSTER_BITS, clusterBits);
        out.putLong(HEADER_SIZE, sizeBytes);
        out.putInt(HEADER_CRYPT_METHOD, CRYPT_NONE);
        out.putInt(HEADER_L1_SIZE, l1Size);
        out.putLong(HEADER_L1_TABLE_OFFSET, l1TableOffset);
        out.putLong(HEADER_REFCOUNT_TABLE_OFFSET, refcountTableOffset);
        out.putInt(HEADER_REFCOUNT_TABLE_CLUSTERS, refcountTableClusters);
        out.putInt(HEADER_NB_SNAPSHOTS, snapshotCount);
        out.putLong(HEADER_SNAPSHOTS_OFFSET, snapshotsOffset);
        if (version == VERSION_2) {
            return;
        }
        out.putLong(HEADER_INCOMPATIBLE_FEATURES, incompatible);
        out.putLong(HEADER_COMPATIBLE_FEATURES, compatible);
        out.putLong(HEADER_AUTOCLEAR_FEATURES, autoclear);
        out.putInt(HEADER_REFCOUNT_ORDER, refcountOrder);
        out.putInt(HEADER_LENGTH, headerLength());
        out.put(HEADER_COMPRESSION_TYPE, (byte) compressionType);
        for (int i = 0; i < unknownFields.size(); i++) {
            out.put(FULL_HEADER_BYTES + i, unknownFields.get(i));
        }
    }

    /** A builder that begins with the values of this header. */
    public Builder with() {
        return new Builder(this);
    }

    /** A builder of a new image's header: version 3, 64 KiB clusters, 16-bit refcounts, zlib. */
    public static Builder newImage(long sizeBytes) {
        return new Builder(new Qcow2Header(
                VERSION_3, 16, sizeBytes, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, COMPRESSION_ZLIB, List.of(), null, List.of()));
    }

    /** Makes a header that differs from another one in some fields. Used by one thread. */
    public static final class Builder {
        private int version;
        private int clusterBits;
        private long sizeBytes;
        private int l1Size;
        private long l1TableOffset;
        private long refcountTableOffset;
        private int refcountTableClusters;
        private int snapshotCount;
        private long snapshotsOffset;
        private long incompatible;
        private long compatible;
        private long autoclear;
        private int refcountOrder;
        private int compressionType;
        private final List<Byte> unknownFields;
        private @Nullable String backingFile;
        private final List<Qcow2Extension> extensions;

        private Builder(Qcow2Header from) {
            version = from.version;
            clusterBits = from.clusterBits;
            sizeBytes = from.sizeBytes;
            l1Size = from.l1Size;
            l1TableOffset = from.l1TableOffset;
            refcountTableOffset = from.refcountTableOffset;
            refcountTableClusters = from.refcountTableClusters;
            snapshotCount = from.snapshotCount;
            snapshotsOffset = from.snapshotsOffset;
            incompatible = from.incompatible;
            compatible = from.compatible;
            autoclear = from.autoclear;
            refcountOrder = from.refcountOrder;
            compressionType = from.compressionType;
            unknownFields = from.unknownFields;
            backingFile = from.backingFile;
            extensions = new ArrayList<>(from.extensions);
        }

        public Builder version(int value) {
            version = value;
            return this;
        }

        public Builder clusterBits(int value) {
            clusterBits = value;
            return this;
        }

        public Builder sizeBytes(long value) {
            sizeBytes = value;
            return this;
        }

        public Builder l1Table(long offsetBytes, int entryCount) {
            l1TableOffset = offsetBytes;
            l1Size = entryCount;
            return this;
        }

        public Builder refcountTable(long offsetBytes, int clusterCount) {
            refcountTableOffset = offsetBytes;
            refcountTableClusters = clusterCount;
            return this;
        }

        public Builder snapshots(long offsetBytes, int count) {
            snapshotsOffset = offsetBytes;
            snapshotCount = count;
            return this;
        }

        public Builder incompatible(long bits) {
            incompatible = bits;
            return this;
        }

        public Builder compatible(long bits) {
            compatible = bits;
            return this;
        }

        public Builder autoclear(long bits) {
            autoclear = bits;
            return this;
        }

        public Builder refcountOrder(int value) {
            refcountOrder = value;
            return this;
        }

        /** Sets the type, and the incompatible bit that goes with it. */
        public Builder compressionType(int value) {
            compressionType = value;
            incompatible = value == COMPRESSION_ZLIB
                    ? incompatible & ~INCOMPATIBLE_COMPRESSION
                    : incompatible | INCOMPATIBLE_COMPRESSION;
            return this;
        }

        /** Names the backing file and its format; null for none. */
        public Builder backing(@Nullable String file, @Nullable String format) {
            backingFile = file;
            return extension(EXTENSION_BACKING_FORMAT, format);
        }

        /** Names the external data file; null for none. Sets or clears the incompatible bit that goes with it. */
        public Builder dataFile(@Nullable String file) {
            incompatible =
                    file == null ? incompatible & ~INCOMPATIBLE_DATA_FILE : incompatible | INCOMPATIBLE_DATA_FILE;
            return extension(EXTENSION_DATA_FILE, file);
        }

        private Builder extension(int type, @Nullable String text) {
            removeExtension(type);
            return text == null ? this : extension(new Qcow2Extension(type, text));
        }

        /** Adds an extension, in the place of one of the same type. */
        public Builder extension(Qcow2Extension extension) {
            removeExtension(extension.type());
            extensions.add(extension);
            return this;
        }

        public Builder removeExtension(int type) {
            extensions.removeIf(extension -> extension.type() == type);
            return this;
        }

        public Qcow2Header build() {
            return new Qcow2Header(
                    version,
                    clusterBits,
                    sizeBytes,
                    l1Size,
                    l1TableOffset,
                    refcountTableOffset,
                    refcountTableClusters,
                    snapshotCount,
                    snapshotsOffset,
                    incompatible,
                    compatible,
                    autoclear,
                    refcountOrder,
                    compressionType,
                    unknownFields,
                    backingFile,
                    extensions);
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static dev.vublk.blockdev.qcow2.Qcow2Layout.*;

import dev.vublk.blockdev.BlockOpenException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.StringJoiner;
import org.jspecify.annotations.Nullable;

/**
 * The border through which a header comes in: reads each field once and bounds it. What passes here cannot make a later
 * computation overflow, a table too large for memory, or an offset negative. Used by one thread.
 */
final class Qcow2HeaderDecoder {
    private final ByteBuffer head;
    private final String image;

    Qcow2HeaderDecoder(ByteBuffer head, String image) {
        this.head = head;
        this.image = image;
    }

    int clusterBytes() throws BlockOpenException {
        if (!Qcow2Header.hasMagic(head)) {
            throw refused("is not a qcow2 image");
        }
        require(V2_HEADER_BYTES);
        int version = head.getInt(HEADER_VERSION);
        if (version != VERSION_2 && version != VERSION_3) {
            throw refused("is qcow2 version " + Integer.toUnsignedString(version) + "; known are 2 and 3");
        }
        int clusterBits = head.getInt(HEADER_CLUSTER_BITS);
        if (clusterBits < CLUSTER_BITS_MIN || clusterBits > CLUSTER_BITS_MAX) {
            throw refused("cluster size 2^" + Integer.toUnsignedString(clusterBits) + " is not between 512 and 2 MiB");
        }
        return 1 << clusterBits;
    }

    Qcow2Header decode() throws BlockOpenException {
        int clusterBytes = clusterBytes();
        boolean version3 = head.getInt(HEADER_VERSION) == VERSION_3;
        int headerLength = version3 ? headerLength(clusterBytes) : V2_HEADER_BYTES;
        int nameOffset = backingFileOffset(clusterBytes);
        String backingFile = nameOffset == 0 ? null : backingFile(nameOffset, clusterBytes);
        List<Qcow2Extension> extensions = extensions(headerLength, nameOffset == 0 ? clusterBytes : nameOffset);

        long incompatible = version3 ? head.getLong(HEADER_INCOMPATIBLE_FEATURES) : 0;
        checkFeatures(incompatible, extensions);
        checkEncryption();
        Qcow2Header header = new Qcow2Header(
                version3 ? VERSION_3 : VERSION_2,
                Integer.numberOfTrailingZeros(clusterBytes),
                head.getLong(HEADER_SIZE),
                head.getInt(HEADER_L1_SIZE),
                head.getLong(HEADER_L1_TABLE_OFFSET),
                head.getLong(HEADER_REFCOUNT_TABLE_OFFSET),
                head.getInt(HEADER_REFCOUNT_TABLE_CLUSTERS),
                head.getInt(HEADER_NB_SNAPSHOTS),
                head.getLong(HEADER_SNAPSHOTS_OFFSET),
                incompatible,
                version3 ? head.getLong(HEADER_COMPATIBLE_FEATURES) : 0,
                version3 ? head.getLong(HEADER_AUTOCLEAR_FEATURES) : 0,
                version3 ? head.getInt(HEADER_REFCOUNT_ORDER) : REFCOUNT_ORDER_V2,
                headerLength > HEADER_COMPRESSION_TYPE ? head.get(HEADER_COMPRESSION_TYPE) & 0xff : COMPRESSION_ZLIB,
                unknownFields(headerLength),
                backingFile,
                extensions);
        checkScalars(header);
        checkTables(header);
        checkBitmaps(header);
        return header;
    }

    private int headerLength(int clusterBytes) throws BlockOpenException {
        require(V3_HEADER_BYTES);
        int length = head.getInt(HEADER_LENGTH);
        if (length < V3_HEADER_BYTES || length > clusterBytes || length % 8 != 0) {
            throw refused("header length " + Integer.toUnsignedString(length)
                    + " is not a multiple of 8 between 104 and the cluster size");
        }
        require(length);
        return length;
    }

    /** Where the name stands, or 0 when there is no backing file. */
    private int backingFileOffset(int clusterBytes) throws BlockOpenException {
        long offset = head.getLong(HEADER_BACKING_FILE_OFFSET);
        if (offset < 0 || offset > clusterBytes) {
            throw refused("the backing file's name lies outside the first cluster");
        }
        return (int) offset;
    }

    private @Nullable String backingFile(int offset, int clusterBytes) throws BlockOpenException {
        int length = head.getInt(HEADER_BACKING_FILE_SIZE);
        if (length < 0 || length > Math.min(BACKING_FILE_NAME_MAX_BYTES, clusterBytes - offset)) {
            throw refused("the backing file's name is too long (" + Integer.toUnsignedString(length) + " bytes)");
        }
        require(offset + length);
        return length == 0 ? null : text(offset, length, "the backing file's name");
    }

    private String text(int offset, int length, String what) throws BlockOpenException {
        byte[] bytes = new byte[length];
        head.get(offset, bytes);
        for (byte b : bytes) {
            if (b == 0) {
                throw refused(what + " contains a zero byte");
            }
        }
        return new String(bytes, StandardCharsets.UTF_8);
    }

    private List<Qcow2Extension> extensions(int start, int end) throws BlockOpenException {
        List<Qcow2Extension> extensions = new ArrayList<>();
        // As QEMU: an area that is full needs no END, and a file that ends before it has none either.
        int stop = Math.min(end, head.limit());
        int offset = start;
        while (offset + EXTENSION_HEADER_BYTES <= stop) {
            int type = head.getInt(offset);
            int length = head.getInt(offset + 4);
            offset += EXTENSION_HEADER_BYTES;
            if (type == EXTENSION_END) {
                break;
            }
            if (length < 0 || length > stop - offset) {
                throw refused("header extension 0x%08x is too long (%s bytes)"
                        .formatted(type, Integer.toUnsignedString(length)));
            }
            checkExtension(type, length, offset);
            byte[] data = new byte[length];
            head.get(offset, data);
            extensions.add(new Qcow2Extension(type, data));
            offset += length + 7 & ~7;
        }
        return extensions;
    }

    private void checkExtension(int type, int length, int offset) throws BlockOpenException {
        switch (type) {
            case EXTENSION_BACKING_FORMAT -> {
                if (length > BACKING_FORMAT_MAX_BYTES) {
                    throw refused("the backing format's name is too long (" + length + " bytes)");
                }
                text(offset, length, "the backing format's name");
            }
            case EXTENSION_DATA_FILE -> {
                if (length == 0 || length > DATA_FILE_NAME_MAX_BYTES) {
                    throw refused("the data file's name has " + length + " bytes");
                }
                text(offset, length, "the data file's name");
            }
            case EXTENSION_BITMAPS -> {
                if (length != BITMAPS_EXTENSION_BYTES) {
                    throw refused("the bitmaps extension has " + length + " bytes, not " + BITMAPS_EXTENSION_BYTES);
                }
            }
            default -> {} // Its length is all there is to check: it is only kept.
        }
    }

    /** QEMU names what it cannot do by the image's own table, and so do we. */
    private void checkFeatures(long incompatible, List<Qcow2Extension> extensions) throws BlockOpenException {
        long unknown = incompatible & ~INCOMPATIBLE_KNOWN;
        if (unknown == 0) {
            return;
        }
        StringJoiner names = new StringJoiner(", ");
        for (int bit = 0; bit < Long.SIZE; bit++) {
            if ((unknown & 1L << bit) != 0) {
                names.add(featureName(bit, extensions));
            }
        }
        throw refused("needs features that are unknown here: " + names);
    }

    private static String featureName(int bit, List<Qcow2Extension> extensions) {
        for (Qcow2Extension extension : extensions) {
            if (extension.type() != EXTENSION_FEATURE_TABLE) {
                continue;
            }
            ByteBuffer table = extension.data();
            for (int at = 0; at + FEATURE_NAME_BYTES <= table.limit(); at += FEATURE_NAME_BYTES) {
                if (table.get(at) == FEATURE_TYPE_INCOMPATIBLE && table.get(at + 1) == bit) {
                    String name = printable(table, at + 2, FEATURE_NAME_BYTES - 2);
                    return name.isEmpty() ? "incompatible bit " + bit : name;
                }
            }
        }
        return "incompatible bit " + bit;
    }

    /** The image may say anything; it ends up on a terminal or in a log. */
    private static String printable(ByteBuffer bytes, int offset, int maxLength) {
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < maxLength && bytes.get(offset + i) != 0; i++) {
            byte b = bytes.get(offset + i);
            text.append(b >= ' ' && b < 0x7f ? (char) b : '?');
        }
        return text.toString();
    }

    private void checkEncryption() throws BlockOpenException {
        int method = head.getInt(HEADER_CRYPT_METHOD);
        switch (method) {
            case CRYPT_NONE -> {}
            case CRYPT_AES -> throw refused("is encrypted (AES); encrypted images are not supported");
            case CRYPT_LUKS -> throw refused("is encrypted (LUKS); encrypted images are not supported");
            default -> throw refused("unknown encryption method " + Integer.toUnsignedString(method));
        }
    }

    private List<Byte> unknownFields(int headerLength) {
        List<Byte> fields = new ArrayList<>();
        for (int i = FULL_HEADER_BYTES; i < headerLength; i++) {
            fields.add(head.get(i));
        }
        return fields;
    }

    private void checkScalars(Qcow2Header header) throws BlockOpenException {
        if (header.refcountOrder() < 0 || header.refcountOrder() > REFCOUNT_ORDER_MAX) {
            throw refused("refcount order " + Integer.toUnsignedString(header.refcountOrder()) + " is larger than "
                    + REFCOUNT_ORDER_MAX);
        }
        if (header.hasSubclusters() && header.clusterBits() < EXTENDED_L2_CLUSTER_BITS_MIN) {
            throw refused("subclusters need clusters of at least 16 KiB, not " + header.clusterBytes() + " bytes");
        }
        if (header.compressionType() != COMPRESSION_ZLIB && header.compressionType() != COMPRESSION_ZSTD) {
            throw refused("unknown compression type " + header.compressionType());
        }
        boolean saysCompression = (header.incompatible() & INCOMPATIBLE_COMPRESSION) != 0;
        if (saysCompression != (header.compressionType() != COMPRESSION_ZLIB)) {
            throw refused("the compression type (" + header.compressionType()
                    + ") and its incompatible feature bit contradict each other");
        }
        if (header.sizeBytes() < 0) {
            throw refused("the disk's size is larger than 2^63 bytes");
        }
    }

    private void checkTables(Qcow2Header header) throws BlockOpenException {
        int l1Size = header.l1Size();
        if (l1Size < 0 || l1Size > L1_MAX_BYTES / L1_ENTRY_BYTES) {
            throw refused("the L1 table is larger than 32 MiB (" + Integer.toUnsignedString(l1Size) + " entries)");
        }
        long needed = -Math.floorDiv(-header.sizeBytes(), header.l1EntryCoverageBytes());
        if (l1Size < needed) {
            throw refused("the L1 table is too small for the disk: " + l1Size + " entries of " + needed);
        }
        checkTable("L1 table", header.l1TableOffset(), (long) l1Size * L1_ENTRY_BYTES, header.clusterBytes());

        int clusters = header.refcountTableClusters();
        if (clusters < 0 || clusters > REFCOUNT_TABLE_MAX_BYTES >> header.clusterBits()) {
            // A single cluster of 2 MiB is well below the limit, so nothing is rounded away.
            throw refused(
                    "the refcount table is larger than 8 MiB (" + Integer.toUnsignedString(clusters) + " clusters)");
        }
        checkTable(
                "refcount table",
                header.refcountTableOffset(),
                (long) clusters << header.clusterBits(),
                header.clusterBytes());

        int snapshots = header.snapshotCount();
        if (snapshots < 0 || snapshots > SNAPSHOTS_MAX) {
            throw refused("has " + Integer.toUnsignedString(snapshots) + " snapshots, more than " + SNAPSHOTS_MAX);
        }
        checkTable(
                "snapshot table",
                snapshots == 0 ? 0 : header.snapshotsOffset(),
                (long) snapshots * SNAPSHOT_HEADER_BYTES,
                header.clusterBytes());
    }

    private void checkBitmaps(Qcow2Header header) throws BlockOpenException {
        Qcow2BitmapsExtension bitmaps = header.bitmaps();
        if (bitmaps == null) {
            return;
        }
        if (bitmaps.bitmapCount() < 1 || bitmaps.bitmapCount() > BITMAPS_MAX) {
            throw refused(
                    "has " + Integer.toUnsignedString(bitmaps.bitmapCount()) + " bitmaps, not 1 to " + BITMAPS_MAX);
        }
        if (bitmaps.directoryBytes() < 1 || bitmaps.directoryBytes() > BITMAP_DIRECTORY_MAX_BYTES) {
            throw refused("the bitmap directory is larger than 64 MiB or empty ("
                    + Long.toUnsignedString(bitmaps.directoryBytes()) + " bytes)");
        }
        checkTable("bitmap directory", bitmaps.directoryOffset(), bitmaps.directoryBytes(), header.clusterBytes());
    }

    private void checkTable(String what, long offset, long length, int clusterBytes) throws BlockOpenException {
        if (offset < 0 || offset > FILE_OFFSET_MAX - length || (offset & clusterBytes - 1) != 0) {
            throw refused("the " + what + "'s offset 0x" + Long.toHexString(offset)
                    + " is no multiple of the cluster size, or too large");
        }
    }

    private void require(int bytes) throws BlockOpenException {
        if (head.limit() < bytes) {
            throw refused("ends inside its header, after " + head.limit() + " bytes");
        }
    }

    private BlockOpenException refused(String why) {
        return new BlockOpenException(image + ": qcow2: " + why);
    }
}

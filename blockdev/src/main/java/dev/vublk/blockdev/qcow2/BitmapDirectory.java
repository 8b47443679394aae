// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import dev.vublk.blockdev.file.OfflineFile;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * The directory of an image's persistent dirty bitmaps. What cannot be right is refused, as QEMU refuses it. Any thread.
 *
 * <pre>
 *   0 table offset (8) | 8 table size (4) | 12 flags (4) | 16 type (1) | 17 granularity bits (1) | 18 name size (2)
 *  20 extra data size (4) | 24 extra data, name, padding to a multiple of 8
 * </pre>
 */
public final class BitmapDirectory {
    /** Flag of a bitmap that was not saved properly: its content means nothing. */
    public static final int IN_USE = 1;

    /** Flag of a bitmap that records writes from the image's opening on. */
    public static final int AUTO = 2;

    private static final int ENTRY_HEADER_BYTES = 24;
    private static final int TABLE_SIZE_MAX = 0x800_0000;
    private static final long BITMAP_MAX_BYTES = 512L << 20;
    private static final int NAME_MAX_BYTES = 1023;
    private static final int GRANULARITY_BITS_MIN = 9;
    private static final int GRANULARITY_BITS_MAX = 31;
    private static final int TYPE_DIRTY_TRACKING = 1;

    private BitmapDirectory() {}

    /**
     * One bitmap.
     *
     * @param tableOffset where its table stands, a multiple of the cluster size
     * @param tableSize number of the table's entries
     * @param flags {@link #IN_USE}, {@link #AUTO}
     * @param granularityBits one bit stands for 2^granularityBits bytes of the disk
     * @param name what the user called it
     */
    public record Entry(long tableOffset, int tableSize, int flags, int granularityBits, String name) {}

    /**
     * Reads the directory that a header's extension names.
     *
     * @throws IOException it cannot be read, or makes no sense: one line for the user
     */
    public static List<Entry> read(OfflineFile file, Qcow2Header header, Qcow2BitmapsExtension bitmaps)
            throws IOException {
        if (bitmaps.directoryOffset() + bitmaps.directoryBytes() > file.sizeBytes() + header.clusterBytes()) {
            throw damaged(file, "is beyond the end of the file");
        }
        ByteBuffer directory = ByteBuffer.wrap(file.read(bitmaps.directoryOffset(), (int) bitmaps.directoryBytes()));
        List<Entry> entries = new ArrayList<>();
        int at = 0;
        while (at < directory.limit()) {
            int entryBytes = at + ENTRY_HEADER_BYTES > directory.limit() ? 0 : entryBytes(directory, at);
            if (entryBytes <= 0 || entryBytes > directory.limit() - at || entries.size() == bitmaps.bitmapCount()) {
                throw damaged(file, "does not hold " + bitmaps.bitmapCount() + " bitmaps");
            }
            entries.add(decode(directory, at, file, header));
            at += entryBytes;
        }
        if (entries.size() != bitmaps.bitmapCount()) {
            throw damaged(file, "does not hold " + bitmaps.bitmapCount() + " bitmaps");
        }
        return entries;
    }

    /** Negative when it is larger than any. */
    private static int entryBytes(ByteBuffer directory, int at) {
        int nameBytes = directory.getShort(at + 18) & 0xffff;
        int extraBytes = directory.getInt(at + 20);
        return extraBytes < 0 || extraBytes > directory.limit()
                ? -1
                : (ENTRY_HEADER_BYTES + nameBytes + extraBytes + 7) & ~7;
    }

    private static Entry decode(ByteBuffer directory, int at, OfflineFile file, Qcow2Header header) throws IOException {
        long tableOffset = directory.getLong(at);
        int tableSize = directory.getInt(at + 8);
        int flags = directory.getInt(at + 12);
        int type = directory.get(at + 16);
        int granularityBits = directory.get(at + 17);
        int nameBytes = directory.getShort(at + 18) & 0xffff;
        int extraBytes = directory.getInt(at + 20);
        boolean sound = tableSize > 0
                && tableSize <= TABLE_SIZE_MAX
                && tableOffset > 0
                && tableOffset <= Qcow2Layout.FILE_OFFSET_MAX
                && (tableOffset & header.clusterBytes() - 1) == 0
                && granularityBits >= GRANULARITY_BITS_MIN
                && granularityBits <= GRANULARITY_BITS_MAX
                && (flags & ~(IN_USE | AUTO)) == 0
                && nameBytes <= NAME_MAX_BYTES
                && type == TYPE_DIRTY_TRACKING
                && (long) tableSize * header.clusterBytes() <= BITMAP_MAX_BYTES;
        if (!sound) {
            throw damaged(file, "holds a bitmap that makes no sense");
        }
        byte[] name = new byte[nameBytes];
        directory.get(at + ENTRY_HEADER_BYTES + extraBytes, name);
        return new Entry(
                tableOffset,
                tableSize,
                flags,
                granularityBits,
                new String(name, StandardCharsets.UTF_8).replaceAll("\\p{Cntrl}", "?"));
    }

    private static IOException damaged(OfflineFile file, String what) {
        return new IOException(file.name() + ": qcow2: the bitmap directory " + what);
    }
}

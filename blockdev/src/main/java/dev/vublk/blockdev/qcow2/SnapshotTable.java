// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static dev.vublk.blockdev.qcow2.Qcow2Layout.*;

import dev.vublk.blockdev.file.OfflineFile;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * The table of an image's internal snapshots, as it stands in the file. Its bounds are QEMU's; what its entries name is not checked
 * here. A value; any thread.
 *
 * @param entries the snapshots in their order
 * @param lengthBytes length of the table in the file, without the padding after its last entry
 */
public record SnapshotTable(List<Entry> entries, long lengthBytes) {

    /**
     * One snapshot.
     *
     * @param id its number, as text
     * @param name what the user called it
     * @param l1TableOffset where its L1 table stands; untrusted
     * @param l1Size number of the table's entries; untrusted
     * @param dateSec when it was made, seconds since 1970
     * @param dateNsec and nanoseconds
     * @param vmClockNsec how long the guest had been running
     * @param vmStateBytes length of the guest's state; 0 without
     * @param diskBytes size of the disk then; -1 when the table does not say
     * @param icount instructions that the guest had executed; -1 when the table does not say
     * @param extraDataBytes length of the entry's extra data
     */
    public record Entry(
            String id,
            String name,
            long l1TableOffset,
            int l1Size,
            long dateSec,
            long dateNsec,
            long vmClockNsec,
            long vmStateBytes,
            long diskBytes,
            long icount,
            int extraDataBytes) {}

    private static final int ENTRY_MAX_BYTES = SNAPSHOT_HEADER_BYTES + SNAPSHOT_EXTRA_DATA_MAX_BYTES + 2 * 65536;

    public SnapshotTable {
        entries = List.copyOf(entries);
    }

    /**
     * Reads the table that a header names.
     *
     * @throws IOException it cannot be read, or is larger than any that QEMU would read: one line for the user
     */
    public static SnapshotTable read(OfflineFile file, Qcow2Header header) throws IOException {
        List<Entry> entries = new ArrayList<>();
        long fileBytes = file.sizeBytes();
        long at = 0;
        long end = 0;
        for (int i = 0; i < header.snapshotCount(); i++) {
            long offset = header.snapshotsOffset() + at;
            if (offset >= fileBytes) {
                throw new IOException(file.name() + ": qcow2: the snapshot table ends after " + i + " of "
                        + header.snapshotCount() + " snapshots, with the file");
            }
            ByteBuffer head = ByteBuffer.wrap(file.read(offset, SNAPSHOT_HEADER_BYTES));
            int extraBytes = head.getInt(SNAPSHOT_EXTRA_DATA_BYTES);
            if (extraBytes < 0 || extraBytes > SNAPSHOT_EXTRA_DATA_MAX_BYTES) {
                throw new IOException(file.name() + ": qcow2: too much extra data in snapshot table entry " + i);
            }
            int entryBytes = entryBytes(head, extraBytes);
            if (at + entryBytes > SNAPSHOT_TABLE_MAX_BYTES || entryBytes > ENTRY_MAX_BYTES) {
                throw new IOException(file.name() + ": qcow2: the snapshot table is too large");
            }
            entries.add(decode(ByteBuffer.wrap(file.read(offset, entryBytes)), extraBytes));
            end = at + entryBytes;
            at = (end + 7) & ~7L;
        }
        return new SnapshotTable(entries, end);
    }

    private static int entryBytes(ByteBuffer head, int extraBytes) {
        int idBytes = head.getShort(SNAPSHOT_ID_BYTES) & 0xffff;
        int nameBytes = head.getShort(SNAPSHOT_NAME_BYTES) & 0xffff;
        return SNAPSHOT_HEADER_BYTES + extraBytes + idBytes + nameBytes;
    }

    private static Entry decode(ByteBuffer entry, int extraBytes) {
        int idBytes = entry.getShort(SNAPSHOT_ID_BYTES) & 0xffff;
        int nameBytes = entry.getShort(SNAPSHOT_NAME_BYTES) & 0xffff;
        int idAt = SNAPSHOT_HEADER_BYTES + extraBytes;
        return new Entry(
                text(entry, idAt, idBytes),
                text(entry, idAt + idBytes, nameBytes),
                entry.getLong(SNAPSHOT_L1_TABLE_OFFSET),
                entry.getInt(SNAPSHOT_L1_SIZE),
                entry.getInt(SNAPSHOT_DATE_SEC) & 0xffff_ffffL,
                entry.getInt(SNAPSHOT_DATE_NSEC) & 0xffff_ffffL,
                entry.getLong(SNAPSHOT_VM_CLOCK_NSEC),
                extraBytes >= SNAPSHOT_EXTRA_VM_STATE_SIZE + Long.BYTES
                        ? extra(entry, SNAPSHOT_EXTRA_VM_STATE_SIZE)
                        : entry.getInt(SNAPSHOT_VM_STATE_SIZE) & 0xffff_ffffL,
                extraBytes >= SNAPSHOT_EXTRA_DISK_SIZE + Long.BYTES ? extra(entry, SNAPSHOT_EXTRA_DISK_SIZE) : -1,
                extraBytes >= SNAPSHOT_EXTRA_ICOUNT + Long.BYTES ? extra(entry, SNAPSHOT_EXTRA_ICOUNT) : -1,
                extraBytes);
    }

    private static long extra(ByteBuffer entry, int offset) {
        return entry.getLong(SNAPSHOT_HEADER_BYTES + offset);
    }

    /** It ends up on a terminal: control characters do not. */
    private static String text(ByteBuffer entry, int offset, int length) {
        byte[] bytes = new byte[length];
        entry.get(offset, bytes);
        return new String(bytes, StandardCharsets.UTF_8).replaceAll("\\p{Cntrl}", "?");
    }
}

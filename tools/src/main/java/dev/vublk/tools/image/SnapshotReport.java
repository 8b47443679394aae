// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import dev.vublk.blockdev.qcow2.SnapshotTable;
import java.time.Instant;
import java.time.ZoneId;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** An image's internal snapshots in the words of {@code qemu-img snapshot -l} and {@code info}. Any thread. */
public final class SnapshotReport {
    private static final DateTimeFormatter DATE =
            DateTimeFormatter.ofPattern("yyyy-MM-dd HH:mm:ss", Locale.ROOT).withZone(ZoneId.systemDefault());
    private static final long NS_PER_SECOND = 1_000_000_000;

    private final List<SnapshotTable.Entry> snapshots;

    private SnapshotReport(List<SnapshotTable.Entry> snapshots) {
        this.snapshots = snapshots;
    }

    public static SnapshotReport of(ImageDescription image) {
        return new SnapshotReport(image.snapshots());
    }

    /** A list of QEMU's SnapshotInfo. */
    public List<Map<String, Object>> asList() {
        return snapshots.stream().map(SnapshotReport::asMap).toList();
    }

    private static Map<String, Object> asMap(SnapshotTable.Entry snapshot) {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("id", snapshot.id());
        map.put("name", snapshot.name());
        map.put("vm-state-size", snapshot.vmStateBytes());
        map.put("date-sec", snapshot.dateSec());
        map.put("date-nsec", snapshot.dateNsec());
        map.put("vm-clock-sec", Long.divideUnsigned(snapshot.vmClockNsec(), NS_PER_SECOND));
        map.put("vm-clock-nsec", Long.remainderUnsigned(snapshot.vmClockNsec(), NS_PER_SECOND));
        if (snapshot.icount() != -1) {
            map.put("icount", snapshot.icount());
        }
        return map;
    }

    /** Lines for people; none when there are no snapshots. */
    public List<String> lines() {
        List<String> lines = new ArrayList<>();
        if (!snapshots.isEmpty()) {
            lines.add("Snapshot list:");
            lines.add(line("ID", "TAG", "VM SIZE", "DATE", "VM CLOCK", "ICOUNT"));
        }
        for (SnapshotTable.Entry snapshot : snapshots) {
            lines.add(line(
                    snapshot.id(),
                    snapshot.name(),
                    SizeText.of(snapshot.vmStateBytes()),
                    DATE.format(Instant.ofEpochSecond(snapshot.dateSec())),
                    clock(snapshot.vmClockNsec()),
                    snapshot.icount() == -1 ? "" : String.valueOf(snapshot.icount())));
        }
        return lines;
    }

    private static String clock(long nanoseconds) {
        long seconds = Long.divideUnsigned(nanoseconds, NS_PER_SECOND);
        long milliseconds = Long.remainderUnsigned(nanoseconds, NS_PER_SECOND) / 1_000_000;
        return String.format(
                Locale.ROOT, "%02d:%02d:%02d.%03d", seconds / 3600, seconds / 60 % 60, seconds % 60, milliseconds);
    }

    private static String line(String id, String tag, String vmSize, String date, String clock, String icount) {
        return String.format(Locale.ROOT, "%-9s %-16s %8s%20s%13s%11s", id, tag, vmSize, date, clock, icount)
                .stripTrailing();
    }
}

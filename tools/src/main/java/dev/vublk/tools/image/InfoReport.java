// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import static dev.vublk.blockdev.qcow2.Qcow2Layout.VERSION_3;

import dev.vublk.blockdev.qcow2.BitmapDirectory;
import dev.vublk.blockdev.qcow2.Qcow2Header;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** An image's description in the words of {@code qemu-img info}, for programs and for people. Any thread. */
public final class InfoReport {
    private final ImageDescription image;

    private InfoReport(ImageDescription image) {
        this.image = image;
    }

    public static InfoReport of(ImageDescription image) {
        return new InfoReport(image);
    }

    /** QEMU's ImageInfo. */
    public Map<String, Object> asMap() {
        Map<String, Object> map = new LinkedHashMap<>();
        Qcow2Header header = image.header();
        map.put("filename", image.image());
        map.put("format", header == null ? "raw" : "qcow2");
        map.put("virtual-size", image.sizeBytes());
        map.put("actual-size", image.allocatedBytes());
        map.put("dirty-flag", header != null && header.isDirty());
        if (header == null) {
            return map;
        }
        map.put("cluster-size", header.clusterBytes());
        String backing = header.backingFile();
        if (backing != null) {
            map.put("backing-filename", backing);
            map.put("full-backing-filename", String.valueOf(image.backingPath()));
            String format = header.backingFormat();
            if (format != null) {
                map.put("backing-filename-format", format);
            }
        }
        if (!image.snapshots().isEmpty()) {
            map.put("snapshots", SnapshotReport.of(image).asList());
        }
        map.put("format-specific", Map.of("type", "qcow2", "data", specific(header)));
        return map;
    }

    private Map<String, Object> specific(Qcow2Header header) {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("compat", image.compat());
        map.put("compression-type", ImageDescription.compressionName(header));
        if (header.version() >= VERSION_3) {
            map.put("lazy-refcounts", header.hasLazyRefcounts());
        }
        map.put("refcount-bits", 1 << header.refcountOrder());
        if (header.version() >= VERSION_3) {
            map.put("corrupt", header.isCorrupt());
            map.put("extended-l2", header.hasSubclusters());
        }
        if (header.hasDataFile()) {
            map.put("data-file", String.valueOf(header.dataFile()));
            map.put("data-file-raw", header.hasRawDataFile());
        }
        if (!image.bitmaps().isEmpty()) {
            map.put("bitmaps", image.bitmaps().stream().map(InfoReport::bitmap).toList());
        }
        return map;
    }

    private static Map<String, Object> bitmap(BitmapDirectory.Entry bitmap) {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("flags", ImageDescription.flags(bitmap));
        map.put("name", bitmap.name());
        map.put("granularity", 1L << bitmap.granularityBits());
        return map;
    }

    /** Lines for people. */
    public List<String> lines() {
        List<String> lines = new ArrayList<>();
        Qcow2Header header = image.header();
        lines.add("image: " + image.image());
        lines.add("file format: " + (header == null ? "raw" : "qcow2"));
        lines.add("virtual size: " + SizeText.of(image.sizeBytes()) + " (" + image.sizeBytes() + " bytes)");
        lines.add("disk size: " + SizeText.of(image.allocatedBytes()));
        if (header == null) {
            return lines;
        }
        lines.add("cluster_size: " + header.clusterBytes());
        if (header.isDirty()) {
            lines.add("cleanly shut down: no");
        }
        addBacking(header, lines);
        if (!image.snapshots().isEmpty()) {
            lines.addAll(SnapshotReport.of(image).lines());
        }
        addSpecific(header, lines);
        return lines;
    }

    private void addBacking(Qcow2Header header, List<String> lines) {
        String backing = header.backingFile();
        if (backing == null) {
            return;
        }
        String path = String.valueOf(image.backingPath());
        lines.add("backing file: " + backing + (path.equals(backing) ? "" : " (actual path: " + path + ")"));
        String format = header.backingFormat();
        if (format != null) {
            lines.add("backing file format: " + format);
        }
    }

    private void addSpecific(Qcow2Header header, List<String> lines) {
        lines.add("Format specific information:");
        specific(header).forEach((key, value) -> {
            if (!key.equals("bitmaps")) {
                lines.add("    " + key.replace('-', ' ') + ": " + value);
            }
        });
        if (!image.bitmaps().isEmpty()) {
            lines.add("    bitmaps:");
        }
        for (BitmapDirectory.Entry bitmap : image.bitmaps()) {
            lines.add("        " + bitmap.name() + ": granularity " + (1L << bitmap.granularityBits()) + ", flags "
                    + ImageDescription.flags(bitmap));
        }
    }
}

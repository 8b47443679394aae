// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.image;

import dev.vublk.blockdev.BlockStatus;
import dev.vublk.blockdev.ImageType;
import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** Goes through a disk and tells where its bytes are, as {@code qemu-img map} does. One thread. */
public final class ImageMap {
    private ImageMap() {}

    /**
     * A run of bytes of one kind.
     *
     * @param startBytes where it begins
     * @param lengthBytes its length
     * @param depth which image of the backing chain answers
     * @param present whether one does
     * @param zero whether it reads as zeroes
     * @param data whether it is stored
     * @param compressed whether it is stored compressed
     * @param offsetBytes where it is in {@code file}; -1 when it is nowhere as it is
     * @param file the file; null without offset
     */
    public record Extent(
            long startBytes,
            long lengthBytes,
            int depth,
            boolean present,
            boolean zero,
            boolean data,
            boolean compressed,
            long offsetBytes,
            @Nullable String file) {

        /** QEMU's MapEntry. */
        public Map<String, Object> asMap() {
            Map<String, Object> map = new LinkedHashMap<>();
            map.put("start", startBytes);
            map.put("length", lengthBytes);
            map.put("depth", depth);
            map.put("present", present);
            map.put("zero", zero);
            map.put("data", data);
            map.put("compressed", compressed);
            if (offsetBytes >= 0) {
                map.put("offset", offsetBytes);
            }
            return map;
        }

        private boolean isContinuedBy(Extent next) {
            return depth == next.depth
                    && present == next.present
                    && zero == next.zero
                    && data == next.data
                    && compressed == next.compressed
                    && (offsetBytes < 0 ? next.offsetBytes < 0 : offsetBytes + lengthBytes == next.offsetBytes)
                    && java.util.Objects.equals(file, next.file);
        }

        private Extent with(Extent next) {
            return new Extent(
                    startBytes,
                    lengthBytes + next.lengthBytes,
                    depth,
                    present,
                    zero,
                    data,
                    compressed,
                    offsetBytes,
                    file);
        }
    }

    /**
     * Tells the extents of a range of a disk in their order.
     *
     * @param startBytes where to begin
     * @param maxBytes how much to tell of at most
     * @throws IOException the image cannot be opened or read: one line for the user
     */
    public static void run(
            String image, ImageType type, boolean forceShare, long startBytes, long maxBytes, Consumer<Extent> out)
            throws IOException {
        try (OpenedDisk disk = OpenedDisk.open(image, type, null, forceShare)) {
            long end = Math.min(disk.sizeBytes(), startBytes + Math.min(maxBytes, Long.MAX_VALUE - startBytes));
            BlockStatus status = new BlockStatus();
            Extent pending = null;
            long at = startBytes;
            while (at < end) {
                disk.status(at, end - at, status);
                Extent next = extent(at, status);
                if (pending != null && pending.isContinuedBy(next)) {
                    pending = pending.with(next);
                } else {
                    if (pending != null) {
                        out.accept(pending);
                    }
                    pending = next;
                }
                at += status.lengthBytes;
            }
            if (pending != null) {
                out.accept(pending);
            }
        }
    }

    private static Extent extent(long at, BlockStatus status) {
        return new Extent(
                at,
                status.lengthBytes,
                status.depth,
                status.present,
                status.zero,
                status.data,
                status.compressed,
                status.fileOffsetBytes,
                status.file);
    }
}

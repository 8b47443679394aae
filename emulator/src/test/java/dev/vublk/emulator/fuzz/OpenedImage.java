// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.fuzz;

import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockOpenException;
import dev.vublk.blockdev.ZoneOptions;
import dev.vublk.blockdev.file.FileProbe;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/** Files that somebody else has written: an image that is looked at, and metadata of zones that a disk is opened with. */
final class OpenedImage {
    private static final ZoneOptions ZONES =
            new ZoneOptions(Disks.metadata().toString(), Disks.ZONE_BYTES, Disks.ZONE_BYTES, 1, 2, 3);

    /** Longer ones differ in nothing that is looked at. */
    private static final int FILE_BYTES_MAX = 1 << 16;

    private OpenedImage() {}

    static void run(byte[] bytes) {
        InputBytes input = new InputBytes(bytes);
        InternalFaults faults = InternalFaults.watch(); // Damage is logged, too; that is right.
        try {
            if (input.flag()) {
                probe(input);
            } else {
                openZones(input);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        faults.check();
    }

    private static void probe(InputBytes input) throws IOException {
        Path image = Disks.DIRECTORY.resolve("probed.img");
        int size = input.u16() % FILE_BYTES_MAX;
        byte[] head = input.take(input.u8());
        byte[] content = new byte[Math.max(size, head.length)];
        System.arraycopy(head, 0, content, 0, head.length);
        byte[] tail = input.take(content.length - head.length);
        System.arraycopy(tail, 0, content, content.length - tail.length, tail.length);
        Files.write(image, content);
        try {
            if (FileProbe.inspect(image.toString()).toString().isEmpty()) {
                throw new AssertionError("an image without facts");
            }
        } catch (BlockOpenException refused) {
            requireReason(refused, image);
        }
    }

    /** Good metadata with some bytes changed, or cut off: it is refused in one line, or costs the zones in question. */
    private static void openZones(InputBytes input) throws IOException {
        Path image = Disks.image();
        Path metadata = Disks.metadata();
        if (!Files.exists(metadata) || input.flag()) {
            Files.deleteIfExists(metadata);
            Disks.openZoned(image, ZONES).close();
        }
        try (FileChannel file = FileChannel.open(metadata, StandardOpenOption.WRITE)) {
            while (!input.isEmpty()) {
                int at = input.u16() % (3 * 4096);
                int length = input.u8();
                if (length == 255) {
                    file.truncate(at);
                } else {
                    file.write(ByteBuffer.wrap(input.take(1 + (length & 63))), at);
                }
            }
        }
        try (BlockDriver driver = Disks.openZoned(image, ZONES)) {
            if (driver.limits().zoned() == null) {
                throw new AssertionError("a zoned disk without zones");
            }
        } catch (BlockOpenException refused) {
            requireReason(refused, metadata);
        }
        Files.deleteIfExists(metadata);
    }

    private static void requireReason(BlockOpenException refused, Path file) {
        String reason = String.valueOf(refused.getMessage());
        if (!reason.startsWith(file.toString()) || reason.contains("\n")) {
            throw new AssertionError("refused without a line that names the file: " + reason, refused);
        }
    }
}

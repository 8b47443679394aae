// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.fuzz;

import static dev.vublk.blockdev.qcow2.Qcow2Layout.*;

import dev.vublk.blockdev.BlockChannel;
import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockDrivers;
import dev.vublk.blockdev.BlockOpenException;
import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.BlockStatus;
import dev.vublk.blockdev.BlockingIoContext;
import dev.vublk.blockdev.ImageType;
import dev.vublk.blockdev.file.OfflineFile;
import dev.vublk.blockdev.linux.Iovec;
import dev.vublk.blockdev.linux.NativeMemory;
import dev.vublk.blockdev.qcow2.Qcow2Check;
import dev.vublk.blockdev.qcow2.Qcow2CheckResult;
import dev.vublk.blockdev.qcow2.Qcow2Header;
import dev.vublk.blockdev.qcow2.Qcow2Repair;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * A qcow2 image that somebody else has made: a sound one, with L2 entries, snapshots and bytes of its header as the input says. It
 * is refused in one line, or each request is carried out or fails. An input that begins as an image does is one, {@link ZeroRuns}
 * left out.
 *
 * <pre>
 *   cluster   0 header | 1 refcount table | 2 refcount block | 3 L1 | 4 L2 | 5 snapshots | 6.. data, some of it as the input says
 * </pre>
 */
final class HostileQcow2 {
    private static final int CLUSTERS = 12;
    private static final int READ_BYTES_MAX = 1 << 16;
    private static final int REQUESTS_MAX = 32;

    /** Of an image that is an input itself. */
    private static final int IMAGE_BYTES_MAX = 1 << 17;

    /** Behind the buffer: nothing may be written there. */
    private static final int GUARD_BYTES = 4096;

    private HostileQcow2() {}

    /** What the file holds: an image that QEMU made, when the input looks like one, else one of our making. */
    private static byte[] content(byte[] bytes, InputBytes input) {
        return isImage(bytes) ? ZeroRuns.expand(bytes, IMAGE_BYTES_MAX) : make(input);
    }

    private static boolean isImage(byte[] bytes) {
        return bytes.length > 4 && bytes[0] == 'Q' && bytes[1] == 'F' && bytes[2] == 'I';
    }

    static void run(byte[] bytes) {
        InputBytes input = new InputBytes(bytes);
        InternalFaults faults = InternalFaults.watch(); // Damage is logged, too; that is right.
        try {
            Path image = Disks.DIRECTORY.resolve("hostile.qcow2");
            Files.write(image, content(bytes, input));
            BlockOptions options =
                    BlockOptions.of(image.toString()).withType(ImageType.QCOW2).withReadOnly(true);
            open(input.choice(4) == 0 ? options.withSnapshot("1") : options, input);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        faults.check();
    }

    /** Checks and repairs it; when all is well then, another check must say so, too. */
    static void repair(byte[] bytes) {
        InputBytes input = new InputBytes(bytes);
        Qcow2Repair.Mode mode = isImage(bytes) || input.flag() ? Qcow2Repair.Mode.ALL : Qcow2Repair.Mode.LEAKS;
        byte[] content = content(bytes, input);
        if (isImage(bytes)) {
            repair(content, Qcow2Repair.Mode.LEAKS);
        }
        repair(content, mode);
    }

    private static void repair(byte[] content, Qcow2Repair.Mode mode) {
        String image = Disks.DIRECTORY.resolve("hostile.qcow2").toString();
        try {
            Files.write(Path.of(image), content);
            try (OfflineFile file = OfflineFile.open(image, true, false)) {
                Qcow2CheckResult result = Qcow2Repair.run(file, mode, finding -> {});
                Qcow2CheckResult again = Qcow2Check.run(file, finding -> {});
                require(result.isClean() == again.isClean(), "another verdict the second time: " + again);
            } catch (IOException refused) {
                String reason = String.valueOf(refused.getMessage());
                require(reason.startsWith(image) && !reason.contains("\n"), "refused without a line: " + reason);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static byte[] make(InputBytes input) {
        int clusterBits = 9 + input.choice(8);
        int clusterBytes = 1 << clusterBits;
        boolean subclusters = clusterBits >= EXTENDED_L2_CLUSTER_BITS_MIN && input.flag();
        Qcow2Header.Builder header = Qcow2Header.newImage((long) input.u8() << clusterBits)
                .version(input.choice(4) == 0 ? VERSION_2 : VERSION_3)
                .clusterBits(clusterBits)
                .l1Table(3L << clusterBits, 8)
                .refcountTable(1L << clusterBits, 1)
                .snapshots(5L << clusterBits, input.choice(2))
                .incompatible(subclusters ? INCOMPATIBLE_EXTENDED_L2 : 0)
                .compressionType(input.choice(2));
        if (input.choice(4) == 0) {
            header.backing(input.flag() ? "hostile.qcow2" : "disk.img", input.flag() ? "qcow2" : "raw");
        }
        ByteBuffer file = ByteBuffer.allocate(CLUSTERS << clusterBits);
        file.put(header.build().encode());
        for (int i = 0; i < 8; i++) {
            file.putLong((3 << clusterBits) + 8 * i, input.choice(8) == 0 ? input.i64() : 4L << clusterBits);
        }
        int entries = input.choice(Math.min(64, clusterBytes / 16));
        for (int i = 0; i < entries; i++) {
            file.putLong((4 << clusterBits) + 8 * i, entry(input, clusterBits));
        }
        int patches = input.choice(16);
        for (int i = 0; i < patches; i++) {
            byte[] patch = input.take(1 + input.choice(32));
            int at = (input.u8() % CLUSTERS << clusterBits) + input.u16() % clusterBytes;
            file.put(Math.min(at, file.capacity() - patch.length), patch);
        }
        int length = input.choice(8) == 0 ? input.u16() % file.capacity() : file.capacity();
        byte[] content = new byte[length];
        file.get(0, content);
        return content;
    }

    private static long entry(InputBytes input, int clusterBits) {
        return switch (input.choice(6)) {
            case 0 -> input.i64();
            case 1 -> (long) (6 + input.choice(8)) << clusterBits | OFLAG_COPIED;
            case 2 -> compressedEntry((6L << clusterBits) + input.u8(), 1 + input.u8(), clusterBits);
            case 3 -> OFLAG_ZERO;
            case 4 -> OFLAG_COMPRESSED | input.i64();
            default -> 0;
        };
    }

    private static void open(BlockOptions options, InputBytes input) throws IOException {
        try (BlockDriver driver = BlockDrivers.open(options);
                BlockChannel channel = driver.openChannel(new BlockingIoContext())) {
            use(channel, driver.limits().sizeBytes(), input);
        } catch (BlockOpenException refused) {
            String reason = String.valueOf(refused.getMessage());
            if (!reason.startsWith(options.image()) || reason.contains("\n")) {
                throw new AssertionError("refused without a line that names the file: " + reason, refused);
            }
        }
    }

    private static void use(BlockChannel channel, long sizeBytes, InputBytes input) {
        if (sizeBytes == 0) {
            return;
        }
        long buffer = NativeMemory.allocateZeroed(READ_BYTES_MAX + GUARD_BYTES);
        long iov = NativeMemory.allocateZeroed(Iovec.SIZE_BYTES);
        try {
            BlockStatus status = new BlockStatus();
            for (int i = 0; i < REQUESTS_MAX && (i < 2 || !input.isEmpty()); i++) {
                long sectors = sizeBytes / 512;
                long offset = Long.remainderUnsigned(input.i64(), sectors) * 512;
                int length = (int) Math.min(512L * (1 + input.choice(READ_BYTES_MAX / 512)), sizeBytes - offset);
                Iovec.set(iov, buffer, length);
                require(channel.readv(offset, iov, 1, length) <= 0, "a read that returns a count");
                if (channel.status(offset, length, status) == 0) {
                    require(status.lengthBytes > 0 && status.lengthBytes <= length, "a run of " + status.lengthBytes);
                }
            }
            for (int i = 0; i < GUARD_BYTES; i++) {
                require(NativeMemory.getByte(buffer + READ_BYTES_MAX + i) == 0, "a byte behind the buffer");
            }
        } finally {
            NativeMemory.free(buffer);
            NativeMemory.free(iov);
        }
    }

    private static void require(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.blockdev.qcow2;

import static dev.vublk.blockdev.qcow2.Qcow2Layout.*;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.vublk.blockdev.BlockDriver;
import dev.vublk.blockdev.BlockDrivers;
import dev.vublk.blockdev.BlockOpenException;
import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.BlockOptions.Locking;
import dev.vublk.blockdev.linux.Errno;
import dev.vublk.blockdev.testing.PlainLoop;
import dev.vublk.blockdev.testing.Shell;
import dev.vublk.blockdev.testing.TestDisk;
import dev.vublk.blockdev.testing.TestImages;
import dev.vublk.blockdev.testing.TestVector;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Images that are refused, in one line, and tables that make no sense: requests that meet them fail, and nothing else happens. */
final class Qcow2OpeningTest {
    private static final int CLUSTER_BYTES = 65536;
    private static final int L1 = 3 * CLUSTER_BYTES;
    private static final int L2 = 4 * CLUSTER_BYTES;

    @TempDir
    private Path directory;

    /** A small image whose tables are empty, after a test's changes to its header. */
    private Path image(String name, Qcow2Header.Builder header) throws IOException {
        ByteBuffer file = ByteBuffer.allocate(6 * CLUSTER_BYTES);
        file.put(header.l1Table(L1, 1).refcountTable(CLUSTER_BYTES, 1).build().encode());
        file.putLong(L1, L2 | OFLAG_COPIED);
        Path image = directory.resolve(name);
        Files.write(image, file.array());
        return image;
    }

    private static Qcow2Header.Builder header() {
        return Qcow2Header.newImage(1 << 20);
    }

    private static BlockOptions readOnly(Path image) {
        return TestDisk.options(image).withReadOnly(true);
    }

    private static void assertRefused(BlockOptions options, String reason) {
        assertThatThrownBy(() -> BlockDrivers.open(options).close())
                .isInstanceOf(BlockOpenException.class)
                .hasMessageStartingWith(options.image() + ": ")
                .hasMessageContaining(reason)
                .hasMessageNotContaining("\n");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "json:{} | given as json:",
                "nbd://host/disk | reached by a protocol",
                "http:x | reached by a protocol",
                "none.raw | No such file or directory",
                "file:none.raw | No such file or directory",
                "file: | has no name",
                ". | is a directory",
                "/dev/zero | is a character device"
            })
    void shouldRefuseBackingFilesThatAreNone(String name, String reason) throws IOException {
        assertRefused(readOnly(image("a.qcow2", header().backing(name, "raw"))), reason);
    }

    @Test
    void shouldRefuseBackingFormatsThatItDoesNotKnow() throws IOException {
        TestImages.file(directory, 512);
        assertRefused(readOnly(image("a.qcow2", header().backing("b", "vmdk"))), "of format 'vmdk'");
    }

    @ParameterizedTest
    @ValueSource(strings = {"raw", "qcow2"})
    void shouldRefuseImagesThatAreTheirOwnBackingFile(String format) throws IOException {
        assertRefused(readOnly(image("a.qcow2", header().backing("a.qcow2", format))), "is its own backing file");
        assertRefused(
                readOnly(image("a.qcow2", header().backing("./../" + directory.getFileName() + "/a.qcow2", format))),
                "is its own backing file");
    }

    @Test
    void shouldRefuseLoopsOfBackingFiles() throws IOException {
        image("b.qcow2", header().backing("a.qcow2", "qcow2"));
        assertRefused(readOnly(image("a.qcow2", header().backing("b.qcow2", "qcow2"))), "is its own backing file");
    }

    @Test
    void shouldRefuseChainsThatAreTooLong() throws IOException {
        image("0", header());
        for (int i = 1; i < 250; i++) {
            image(i + "", header().backing((i - 1) + "", "qcow2"));
        }
        try (BlockDriver driver = BlockDrivers.open(readOnly(directory.resolve("150")))) {
            assertThat(driver.limits().sizeBytes()).isEqualTo(1 << 20);
        }
        assertRefused(readOnly(directory.resolve("249")), "more than 200 files");
    }

    @Test
    void shouldRefuseDataFileThatIsMissingOrTheImageItself() throws IOException {
        Path image = image("a.qcow2", header().dataFile("a.data"));
        assertRefused(readOnly(image).withImage(image.toString()).withReadOnly(true), "a.data: cannot be opened");
        assertRefused(readOnly(image("a.qcow2", header().dataFile("a.qcow2"))), "is a file of its own chain");
        assertRefused(
                readOnly(image("a.qcow2", header().incompatible(INCOMPATIBLE_DATA_FILE))), "which it does not name");
    }

    @Test
    void shouldRefuseSnapshotsThatAreNotThere() throws IOException {
        Path image = image("a.qcow2", header());
        assertRefused(readOnly(image).withSnapshot("7"), "has no snapshot with the id or name '7'");
        assertRefused(TestDisk.options(image).withSnapshot("7"), "a snapshot can only be read");
    }

    @Test
    void shouldOpenCorruptImagesForReadingOnly() throws IOException {
        Path image = image("a.qcow2", header().incompatible(INCOMPATIBLE_CORRUPT));
        assertRefused(TestDisk.options(image), "is marked as corrupt");
        BlockDrivers.open(readOnly(image)).close();
    }

    @Test
    void shouldRefuseFilesThatAreTooShort() throws IOException {
        Path image = directory.resolve("a.qcow2");
        Files.write(image, new byte[] {'Q', 'F', 'I', (byte) 0xfb});
        assertRefused(readOnly(image), "ends inside its header");
    }

    @ParameterizedTest
    @CsvSource({
        "0x200, EIO", // not aligned
        "0x00fffffffff0000, ZEROES", // far behind the end of the file
        "0, ZEROES",
        "1, ZEROES",
        "0x50001, ZEROES",
        "0x4000000000050000, EIO", // compressed: zeroes are no deflate stream
        "0x4fffffffffffffff, EIO", // compressed, as long and as far away as can be
        "0x7fffffffffffffff, EIO"
    })
    void shouldSurviveEveryL2Entry(String entry, String expected) throws Exception {
        for (int version = VERSION_2; version <= VERSION_3; version++) {
            Path image = image("a.qcow2", header().version(version));
            put(image, L2, Long.parseUnsignedLong(entry.replace("0x", ""), entry.startsWith("0x") ? 16 : 10));
            boolean zeroFlagInVersion2 = version == VERSION_2 && entry.endsWith("1") && !entry.startsWith("0x4");
            assertReads(image, zeroFlagInVersion2 || expected.equals("EIO") ? -Errno.EIO : 0);
        }
    }

    @ParameterizedTest
    @CsvSource({
        "0x50000, 0xffffffff, 0", //
        "0x50000, 0x00000001_00000001, EIO", // both allocated and zero
        "0, 1, EIO", // allocated nowhere
        "0x50200, 1, EIO", // not aligned
        "0, 0xffffffff_00000000, 0",
        "0x4000000000050000, 0, EIO"
    })
    void shouldSurviveEverySubclusterBitmap(String entry, String bitmap, String expected) throws Exception {
        Path image = image("a.qcow2", header().incompatible(INCOMPATIBLE_EXTENDED_L2));
        put(image, L2, Long.decode(entry));
        put(image, L2 + 8, Long.parseUnsignedLong(bitmap.replace("0x", "").replace("_", ""), 16));
        assertReads(image, expected.equals("EIO") ? -Errno.EIO : 0);
    }

    @Test
    void shouldSurviveL1EntriesThatMakeNoSense() throws Exception {
        Path image = image("a.qcow2", header());
        put(image, L1, L2 + 512);
        assertReads(image, -Errno.EIO);
        put(image, L1, 0x00fffffffff0000L);
        assertReads(image, 0); // a table behind the end of the file is empty, as any hole
    }

    private static void put(Path image, long offset, long value) throws IOException {
        byte[] file = Files.readAllBytes(image);
        ByteBuffer.wrap(file).putLong((int) offset, value);
        Files.write(image, file);
    }

    private static void assertReads(Path image, int expected) throws Exception {
        try (TestDisk disk = new TestDisk(readOnly(image), PlainLoop.withRing());
                TestVector vector = TestVector.of(4096, 4096)) {
            assertThat(disk.read(4096, vector)).isEqualTo(expected);
            if (expected == 0) {
                assertThat(vector.get()).isEqualTo(new byte[8192]);
            }
        }
    }

    @Test
    void shouldLockTheWholeChainAsQemuDoes() throws Exception {
        Shell.assumeProgram("qemu-io");
        Path base = image("base.qcow2", header());
        Path top = image("top.qcow2", header().backing("base.qcow2", "qcow2"));
        String[] write = {"qemu-io", "-f", "qcow2", "-c", "write 0 512", base.toString()};
        try (BlockDriver driver = BlockDrivers.open(readOnly(top).withLocking(Locking.DEFERRED))) {
            driver.activate();
            assertThat(Shell.run(write).output()).contains("lock");
            driver.deactivate();
            driver.activate();
            assertThat(Shell.run(write).output()).contains("lock");
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.tools.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.tools.faulty.FaultRule;
import dev.vublk.tools.faulty.FaultyDirectory;
import dev.vublk.tools.faulty.FileCall;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What a whole process does when the disk fails that its image is on: it serves on, and what failed is the guest's to know. */
@Timeout(180)
class DiskErrorIT {
    private static final int SECTOR_BYTES = 512;
    private static final int PIECE_BYTES = 64 << 10;

    @TempDir
    private Path plain;

    @TempDir
    private Path mount;

    @TempDir
    private Path directory;

    private FaultyImages images;
    private FaultyDirectory faulty;
    private byte[] disk;

    @BeforeEach
    void makeImages() throws Exception {
        QemuImg.assumeInstalled();
        faulty = FaultyDirectory.mount(mount);
        try {
            images = new FaultyImages(faulty, plain);
        } catch (Throwable failure) {
            faulty.close();
            throw failure;
        }
        disk = images.disk();
    }

    @AfterEach
    void unmount() {
        if (images != null) {
            images.close();
        }
    }

    @ParameterizedTest
    @CsvSource({
        "raw.img,    --format raw",
        "raw.img,    --format raw --engine threads",
        "disk.qcow2, --format qcow2",
        "top.qcow2,  --format qcow2 --engine threads",
    })
    void shouldFailWhatFailsAndServeTheRest(String image, String options) throws Exception {
        String command = "export " + mount.resolve(image) + " --socket a.sock " + options;
        try (VublkLauncher vublk = VublkLauncher.start(directory, command.split(" "))) {
            vublk.awaitReady(1);
            try (BlkDriver driver = BlkDriver.withFlush(directory.resolve("a.sock"))) {
                assertHolds(driver);
                failReads(driver, image);
                failWrites(driver, image);
                assertThat(vublk.err()).isEmpty();
                failFlushes(driver, image);
            }
            assertThat(vublk.isAlive()).isTrue();
            vublk.stop();
            // An error storm is no storm in the log.
            assertThat(vublk.err().lines().filter(line -> line.contains("every flush fails from now on")))
                    .hasSize(1);
            assertThat(vublk.err().lines()).hasSizeLessThanOrEqualTo(2);
        }
        assertThat(Arrays.mismatch(images.read(image), disk)).isEqualTo(-1);
        if (image.endsWith(".qcow2")) {
            assertThat(images.run("check -q @" + image).status()).isIn(0, 3);
        }
    }

    private void assertHolds(BlkDriver driver) throws IOException {
        for (int at = 0; at < disk.length; at += PIECE_BYTES) {
            int length = Math.min(PIECE_BYTES, disk.length - at);
            assertThat(Arrays.equals(driver.read(at / SECTOR_BYTES, length), Arrays.copyOfRange(disk, at, at + length)))
                    .as("at " + at)
                    .isTrue();
        }
    }

    /** One cluster's data cannot be read: others can. */
    private void failReads(BlkDriver driver, String image) throws IOException {
        int bad = 2 * PIECE_BYTES;
        long where = offsetInFile(image, bad);
        faulty.fail(FaultRule.of(FileCall.READ).at(where, where + PIECE_BYTES));
        for (int i = 0; i < 500; i++) {
            assertThat(driver.tryRead(bad / SECTOR_BYTES, 4096)).isEqualTo(BlkDriver.S_IOERR);
        }
        assertThat(driver.tryRead((bad - PIECE_BYTES) / SECTOR_BYTES, 2 * PIECE_BYTES))
                .isEqualTo(BlkDriver.S_IOERR);
        assertThat(driver.tryRead((bad - PIECE_BYTES) / SECTOR_BYTES, PIECE_BYTES))
                .isEqualTo(BlkDriver.S_OK);
        assertThat(driver.tryRead((bad + PIECE_BYTES) / SECTOR_BYTES, PIECE_BYTES))
                .isEqualTo(BlkDriver.S_OK);
        faulty.heal();
        assertHolds(driver);
    }

    /** Where the file has what the disk has there; of a chain, the file below that has it. */
    private long offsetInFile(String image, int offset) {
        byte[] content = faulty.content(image.equals("top.qcow2") ? "base.img" : image);
        byte[] wanted = Arrays.copyOfRange(disk, offset, offset + SECTOR_BYTES);
        for (int at = 0; at < content.length; at += SECTOR_BYTES) {
            if (Arrays.equals(content, at, at + SECTOR_BYTES, wanted, 0, SECTOR_BYTES)) {
                return at;
            }
        }
        throw new AssertionError("not in " + image);
    }

    /** Everything fails that is written, in place and where clusters are new, data and tables. */
    private void failWrites(BlkDriver driver, String image) throws IOException {
        byte[] data = new byte[PIECE_BYTES];
        Arrays.fill(data, (byte) 'w');
        int failed = 0;
        int[] offsets = {0, 5 * PIECE_BYTES, 8 * PIECE_BYTES, 14 * PIECE_BYTES};
        for (int skipped = 0; skipped < 12; skipped++) {
            faulty.fail(FaultRule.of(FileCall.WRITE, FileCall.ALLOCATE, FileCall.SETATTR)
                    .on(image)
                    .after(skipped));
            for (int offset : offsets) {
                int status = driver.write(offset / SECTOR_BYTES, data);
                assertThat(status).isIn(BlkDriver.S_OK, BlkDriver.S_IOERR);
                if (status == BlkDriver.S_IOERR) {
                    failed++;
                } else {
                    System.arraycopy(data, 0, disk, offset, data.length);
                }
            }
            faulty.heal();
            for (int offset : offsets) {
                assertThat(driver.write(offset / SECTOR_BYTES, data)).isEqualTo(BlkDriver.S_OK);
                System.arraycopy(data, 0, disk, offset, data.length);
            }
            assertHolds(driver);
        }
        assertThat(failed).isGreaterThan(offsets.length);
        assertThat(driver.flush()).isEqualTo(BlkDriver.S_OK);
    }

    /** What the host could not write back is lost for good: no later flush says otherwise. */
    private void failFlushes(BlkDriver driver, String image) throws IOException {
        assertThat(driver.write(0, Arrays.copyOf(disk, 4096))).isEqualTo(BlkDriver.S_OK);
        faulty.fail(FaultRule.of(FileCall.FSYNC).on(image).times(1));
        assertThat(driver.flush()).isEqualTo(BlkDriver.S_IOERR);
        for (int i = 0; i < 100; i++) {
            assertThat(driver.flush()).isEqualTo(BlkDriver.S_IOERR);
        }
        faulty.heal();
        assertThat(driver.flush()).isEqualTo(BlkDriver.S_IOERR);
        assertHolds(driver);
    }

    @Test
    void shouldRefuseToServeWhatCannotBeRead() throws Exception {
        faulty.fail(FaultRule.of(FileCall.READ).at(0, 512));
        for (String image : List.of("disk.qcow2", "raw.img")) {
            CapturedRun run =
                    VublkLauncher.run(directory, "export", mount.resolve(image).toString(), "--socket", "a.sock");
            assertThat(run.status()).as(run.toString()).isEqualTo(1);
            assertThat(run.err())
                    .isEqualTo("vublk: " + mount.resolve(image)
                            + ": cannot be read at offset 0 to see which format it has: Input/output error\n");
        }
        images.assertUntouched();
    }

    /** The log has nothing to add to what the command says. */
    @ParameterizedTest
    @ValueSource(strings = {"convert -n @disk.qcow2 @raw.img", "convert -n -f raw -O qcow2 @raw.img @disk.qcow2"})
    void shouldTellOnceWhatCannotBeMadeStable(String command) throws Exception {
        faulty.fail(FaultRule.of(FileCall.FSYNC));
        CapturedRun run =
                VublkLauncher.run(directory, command.replace("@", mount + "/").split(" "));
        assertThat(run.status()).as(run.toString()).isEqualTo(1);
        assertThat(run.err())
                .startsWith("vublk: " + mount + "/")
                .endsWith(": Input/output error\n")
                .hasLineCount(1);
        images.assertUntouched("raw.img", "disk.qcow2");
    }

    /** Beside the unit tests, which cannot look at standard output: what comes out is what could be read, and then one line. */
    @Test
    void shouldEndAStreamWhereTheSourceCannotBeRead() throws Exception {
        faulty.fail(FaultRule.of(FileCall.READ).at(1 << 20, Long.MAX_VALUE));
        for (String options : List.of("-m 1", "-m 4", "-m 2 --compress zstd")) {
            Path stream = directory.resolve("stream");
            String command = VublkLauncher.script() + " convert -f raw " + options + " " + mount.resolve("raw.img")
                    + " - > " + stream;
            try (VublkLauncher vublk = VublkLauncher.start(directory, Map.of(), List.of("sh", "-c", command))) {
                CapturedRun run = vublk.awaitEnd();
                assertThat(run.status()).as(run.toString()).isEqualTo(1);
                assertThat(run.err())
                        .startsWith("vublk: " + mount.resolve("raw.img") + ": cannot be read at offset 1048576")
                        .endsWith(": Input/output error\n")
                        .hasLineCount(1);
            }
            byte[] written = Files.readAllBytes(stream);
            if (!options.contains("compress")) {
                assertThat(written.length).isLessThanOrEqualTo(1 << 20);
                assertThat(Arrays.equals(written, Arrays.copyOf(disk, written.length)))
                        .isTrue();
            }
        }
        images.assertUntouched();
    }
}

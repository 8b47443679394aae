// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import static dev.vublk.emulator.GuestRequest.*;
import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.BlockOptions;
import dev.vublk.emulator.EmulatorUnderTest;
import dev.vublk.emulator.Guest;
import dev.vublk.emulator.GuestQueue;
import dev.vublk.emulator.GuestRequest;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** SECURE_ERASE (virtio 1.2 section 5.2.6) of a disk in a file. */
final class SecureEraseTest {
    private static final int DISK_BYTES = 8 << 20;
    private static final long DISK_SECTORS = DISK_BYTES / 512;
    private static final long SECURE_ERASE_FEATURE = 1L << 16;

    @TempDir
    Path directory;

    private byte[] content = {};

    private Path image() throws IOException {
        Path image = directory.resolve("disk.img");
        content = new byte[DISK_BYTES];
        new Random(2).nextBytes(content);
        return Files.write(image, content);
    }

    private static VirtioBlkSettings settings(boolean secureErase) {
        return new VirtioBlkSettings("s", 1, 128, true, 126, true, true, 32, secureErase, null, null);
    }

    private EmulatorUnderTest.Setup setup(Path image, boolean secureErase) {
        return new EmulatorUnderTest.Setup(directory)
                .block(BlockOptions.of(image.toString()))
                .settings(settings(secureErase));
    }

    @Test
    void shouldEraseEveryRangeAndNothingElse() throws IOException {
        Path image = image();
        try (EmulatorUnderTest emulator = setup(image, true).start();
                Guest guest = Guest.connect(emulator)) {
            GuestRequest erase = guest.queue().run(ranges(SECURE_ERASE, 16, 8, 0, 0, 0, 0, 1001, 3, 0));

            assertThat(erase.status()).isEqualTo(OK);
            assertThat(erase.usedBytes()).isEqualTo(1);
        }
        Arrays.fill(content, 16 * 512, 24 * 512, (byte) 0);
        Arrays.fill(content, 1001 * 512, 1004 * 512, (byte) 0);
        assertThat(Files.readAllBytes(image)).isEqualTo(content);
    }

    /** Linux' driver puts the segments where the device writes; nothing is written there but the status. */
    @Test
    void shouldTakeSegmentsFromWritableBuffers() throws IOException {
        Path image = image();
        byte[] segments = ByteBuffer.allocate(32)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putLong(16)
                .putInt(8)
                .putInt(0)
                .putLong(100)
                .putInt(1)
                .putInt(0)
                .array();
        try (EmulatorUnderTest emulator = setup(image, true).start();
                Guest guest = Guest.connect(emulator)) {
            GuestQueue queue = guest.queue();
            GuestRequest erase = queue.run(of(SECURE_ERASE, 0).answering(segments));
            assertThat(erase.status()).isEqualTo(OK);
            assertThat(erase.usedBytes()).as("a gap lies before the status").isZero();
            assertThat(erase.answer()).isEqualTo(segments);
            assertThat(queue.run(of(DISCARD, 0).answering(segments)).status())
                    .as("only where a driver needs it")
                    .isEqualTo(IOERR);
        }
        Arrays.fill(content, 16 * 512, 24 * 512, (byte) 0);
        Arrays.fill(content, 100 * 512, 101 * 512, (byte) 0);
        assertThat(Files.readAllBytes(image)).isEqualTo(content);
    }

    @Test
    void shouldTellItsLimits() throws IOException {
        try (EmulatorUnderTest emulator = setup(image(), true).start();
                Guest guest = Guest.connect(emulator)) {
            assertThat(guest.frontend().getFeatures() & SECURE_ERASE_FEATURE).isNotZero();
            ByteBuffer config =
                    ByteBuffer.wrap(guest.frontend().getConfig(60, 12)).order(ByteOrder.LITTLE_ENDIAN);
            assertThat(config.getInt()).as("max_secure_erase_sectors").isEqualTo((1 << 30) / 512);
            assertThat(config.getInt()).as("max_secure_erase_seg").isEqualTo(32);
            assertThat(config.getInt()).as("secure_erase_sector_alignment").isEqualTo(1);
        }
    }

    /** Section 5.2.6.2: any unknown flag, and unmap is one here. */
    @ParameterizedTest
    @ValueSource(longs = {1, 2, 0x80000000L})
    void shouldNotSupportAnyFlagWhateverElseIsWrong(long flags) throws IOException {
        Path image = image();
        try (EmulatorUnderTest emulator = setup(image, true).start();
                Guest guest = Guest.connect(emulator)) {
            GuestQueue queue = guest.queue();
            assertThat(queue.run(ranges(SECURE_ERASE, 0, 8, flags)).status()).isEqualTo(UNSUPP);
            assertThat(queue.run(ranges(SECURE_ERASE, 0, 8, 0, DISK_SECTORS, 8, 0, 8, 8, flags))
                            .status())
                    .isEqualTo(UNSUPP);
        }
        assertThat(Files.readAllBytes(image)).isEqualTo(content);
    }

    @Test
    void shouldTouchNothingWhenTheLastRangeIsBeyondTheEnd() throws IOException {
        Path image = image();
        try (EmulatorUnderTest emulator = setup(image, true).start();
                Guest guest = Guest.connect(emulator)) {
            long[] ranges = new long[3 * 32];
            for (int i = 0; i < 32; i++) {
                ranges[3 * i] = 8L * i;
                ranges[3 * i + 1] = 8;
            }
            ranges[3 * 31] = DISK_SECTORS - 7;
            assertThat(guest.queue().run(ranges(SECURE_ERASE, ranges)).status()).isEqualTo(IOERR);
        }
        assertThat(Files.readAllBytes(image)).isEqualTo(content);
    }

    @Test
    void shouldRefuseWhatIsNoMultipleOfTheBlock() throws IOException {
        Path image = image();
        BlockOptions options = BlockOptions.of(image.toString()).withLogicalBlockBytes(4096);
        try (EmulatorUnderTest emulator = setup(image, true).block(options).start();
                Guest guest = Guest.connect(emulator)) {
            GuestQueue queue = guest.queue();
            assertThat(queue.run(ranges(SECURE_ERASE, 8, 8, 0)).status()).isEqualTo(OK);
            assertThat(queue.run(ranges(SECURE_ERASE, 17, 8, 0)).status()).isEqualTo(IOERR);
            assertThat(queue.run(ranges(SECURE_ERASE, 16, 4, 0)).status()).isEqualTo(IOERR);
        }
        Arrays.fill(content, 4096, 8192, (byte) 0);
        assertThat(Files.readAllBytes(image)).isEqualTo(content);
    }

    @Test
    void shouldNotSupportWhatWasNotAskedForOrNotNegotiated() throws IOException {
        Path image = image();
        try (EmulatorUnderTest emulator = setup(image, false).start();
                Guest guest = Guest.connect(emulator)) {
            assertThat(guest.frontend().getFeatures() & SECURE_ERASE_FEATURE).isZero();
            assertThat(guest.queue().run(ranges(SECURE_ERASE, 0, 8, 0)).status())
                    .isEqualTo(UNSUPP);
        }
        try (EmulatorUnderTest emulator = setup(image, true).start();
                Guest guest = Guest.connect(emulator, SECURE_ERASE_FEATURE)) {
            assertThat(guest.queue().run(ranges(SECURE_ERASE, 0, 8, 0)).status())
                    .isEqualTo(UNSUPP);
        }
        assertThat(Files.readAllBytes(image)).isEqualTo(content);
    }
}

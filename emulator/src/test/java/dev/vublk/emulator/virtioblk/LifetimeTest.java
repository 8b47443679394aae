// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import static dev.vublk.emulator.GuestRequest.*;
import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.BlockLimits;
import dev.vublk.blockdev.DiskLifetime;
import dev.vublk.emulator.EmulatorUnderTest;
import dev.vublk.emulator.Guest;
import dev.vublk.emulator.GuestQueue;
import dev.vublk.emulator.GuestRequest;
import dev.vublk.emulator.ScriptedDisk;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** GET_LIFETIME (virtio 1.2 section 5.2.6). */
final class LifetimeTest {
    private static final long LIFETIME_FEATURE = 1L << 15;
    private static final byte[] WORN = {2, 0, 11, 0, 4, 0};

    @TempDir
    Path directory;

    private EmulatorUnderTest.Setup setup(@Nullable DiskLifetime lifetime) {
        return new EmulatorUnderTest.Setup(directory)
                .settings(new VirtioBlkSettings("s", 1, 128, true, 126, true, true, 32, false, null, lifetime));
    }

    @Test
    void shouldTellWhatTheUserSet() throws IOException {
        try (EmulatorUnderTest emulator = setup(new DiskLifetime(2, 11, 4)).start();
                Guest guest = Guest.connect(emulator)) {
            GuestRequest lifetime = guest.queue().run(of(GET_LIFETIME, 0).room(6));

            assertThat(lifetime.status()).isEqualTo(OK);
            assertThat(lifetime.answer()).isEqualTo(WORN);
            assertThat(lifetime.usedBytes()).isEqualTo(7);
        }
    }

    @Test
    void shouldTellWhatTheDiskSays() throws IOException {
        ScriptedDisk disk = new ScriptedDisk(tellingLimits()).lifetime(new DiskLifetime(2, 11, 4).packed());
        try (EmulatorUnderTest emulator = setup(null).driver(disk).start();
                Guest guest = Guest.connect(emulator)) {
            GuestQueue queue = guest.queue();
            assertThat(queue.run(of(GET_LIFETIME, 0).room(6)).answer()).isEqualTo(WORN);

            disk.lifetime(-5);
            GuestRequest failed = queue.run(of(GET_LIFETIME, 0).room(6));
            assertThat(failed.status()).isEqualTo(IOERR);
            assertThat(failed.usedBytes()).isZero();
        }
    }

    private static BlockLimits tellingLimits() {
        return new BlockLimits(
                1 << 20, false, 512, 4096, 4096, 0, true, 4096, 1 << 20, true, 1 << 20, true, true, 0, true, null);
    }

    @Test
    void shouldWriteAcrossBuffersAndLeaveTheRestAlone() throws IOException {
        try (EmulatorUnderTest emulator = setup(new DiskLifetime(2, 11, 4)).start();
                Guest guest = Guest.connect(emulator)) {
            GuestQueue queue = guest.queue();
            assertThat(queue.run(of(GET_LIFETIME, 0).room(6).cutWritable(1, 4)).answer())
                    .isEqualTo(WORN);

            GuestRequest longer = queue.run(of(GET_LIFETIME, 0).room(512));
            assertThat(longer.usedBytes()).isEqualTo(6); // a gap lies before the status
            assertThat(Arrays.copyOf(longer.answer(), 6)).isEqualTo(WORN);
            assertThat(Arrays.copyOfRange(longer.answer(), 6, 512)).containsOnly(UNTOUCHED);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 5})
    void shouldRefuseLessRoomThanTheAnswerTakes(int bytes) throws IOException {
        try (EmulatorUnderTest emulator = setup(new DiskLifetime(1, 1, 1)).start();
                Guest guest = Guest.connect(emulator)) {
            assertThat(guest.queue().run(of(GET_LIFETIME, 0).room(bytes)).status())
                    .isEqualTo(IOERR);
        }
    }

    /** Section 5.2.6.2: the feature is not offered where nothing can be told. */
    @Test
    void shouldNotSupportWhatNobodyTellsOrWasNotNegotiated() throws IOException {
        for (DiskLifetime none : new @Nullable DiskLifetime[] {null, DiskLifetime.UNKNOWN}) {
            try (EmulatorUnderTest emulator = setup(none).start();
                    Guest guest = Guest.connect(emulator)) {
                assertThat(guest.frontend().getFeatures() & LIFETIME_FEATURE).isZero();
                assertThat(guest.queue().run(of(GET_LIFETIME, 0).room(6)).status())
                        .isEqualTo(UNSUPP);
            }
        }
        try (EmulatorUnderTest emulator = setup(new DiskLifetime(1, 1, 1)).start();
                Guest guest = Guest.connect(emulator, LIFETIME_FEATURE)) {
            assertThat(guest.queue().run(of(GET_LIFETIME, 0).room(6)).status()).isEqualTo(UNSUPP);
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import static dev.vublk.emulator.GuestRequest.*;
import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.emulator.EmulatorUnderTest;
import dev.vublk.emulator.Guest;
import dev.vublk.emulator.GuestQueue;
import dev.vublk.emulator.ScriptedDisk;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** When a completed write is stable at once (virtio 1.2 sections 5.2.5.2 and 5.2.6.2), as the disk is told with FUA. */
final class WriteCacheTest {
    private static final int WCE = 32;
    private static final byte[] SECTOR = new byte[512];

    @TempDir
    Path directory;

    private static boolean writesThrough(GuestQueue queue, ScriptedDisk disk) throws InterruptedException {
        assertThat(queue.run(write(0, SECTOR)).status()).isEqualTo(OK);
        boolean fua = disk.nextCall().fua();
        assertThat(queue.run(ranges(WRITE_ZEROES, 0, 1, 0)).status()).isEqualTo(OK);
        assertThat(disk.nextCall().fua()).isEqualTo(fua);
        return fua;
    }

    @Test
    void shouldObeyTheGuestsChoice() throws Exception {
        ScriptedDisk disk = new ScriptedDisk(1 << 20);
        try (EmulatorUnderTest emulator =
                        new EmulatorUnderTest.Setup(directory).driver(disk).start();
                Guest guest = Guest.connect(emulator)) {
            GuestQueue queue = guest.queue();
            assertThat(writesThrough(queue, disk)).isFalse();
            // Flags as rust-vmm front ends send them.
            for (int flags = 0; flags <= 2; flags++) {
                assertThat(guest.frontend().setConfig(WCE, flags, (byte) 0)).isTrue();
                assertThat(guest.frontend().getConfig(WCE, 1)).containsExactly(0);
                assertThat(writesThrough(queue, disk)).isTrue();
                assertThat(guest.frontend().setConfig(WCE, flags, (byte) 1)).isTrue();
                assertThat(guest.frontend().getConfig(WCE, 1)).containsExactly(1);
                assertThat(writesThrough(queue, disk)).isFalse();
            }
        }
    }

    @Test
    void shouldRefuseOtherFieldsAndValues() throws Exception {
        try (EmulatorUnderTest emulator = new EmulatorUnderTest.Setup(directory).start();
                Guest guest = Guest.connect(emulator)) {
            byte[] before = guest.frontend().getConfig(0, 96);
            assertThat(guest.frontend().setConfig(WCE, 0, (byte) 2)).isFalse();
            assertThat(guest.frontend().setConfig(WCE, 0, (byte) 0, (byte) 0)).isFalse();
            assertThat(guest.frontend().setConfig(0, 0, (byte) 1)).isFalse();
            assertThat(guest.frontend().setConfig(33, 0, (byte) 1)).isFalse();
            assertThat(guest.frontend().getConfig(0, 96)).isEqualTo(before);
        }
    }

    @Test
    void shouldWriteThroughForADriverThatCannotFlush() throws Exception {
        ScriptedDisk disk = new ScriptedDisk(1 << 20);
        try (EmulatorUnderTest emulator =
                        new EmulatorUnderTest.Setup(directory).driver(disk).start();
                Guest guest = Guest.connect(
                        emulator, VirtioBlkSpec.VIRTIO_BLK_F_FLUSH | VirtioBlkSpec.VIRTIO_BLK_F_CONFIG_WCE)) {
            assertThat(writesThrough(guest.queue(), disk)).isTrue();
        }
    }

    @Test
    void shouldBeginAsTheDiskWasOpenedAndDoSoAgainForTheNextFrontEnd() throws Exception {
        ScriptedDisk disk = new ScriptedDisk(ScriptedDisk.limits(1 << 20, false));
        try (EmulatorUnderTest emulator =
                new EmulatorUnderTest.Setup(directory).driver(disk).start()) {
            for (int i = 0; i < 2; i++) {
                try (Guest guest = Guest.connect(emulator)) {
                    GuestQueue queue = guest.queue();
                    assertThat(guest.frontend().getConfig(WCE, 1)).containsExactly(0);
                    assertThat(writesThrough(queue, disk)).isTrue();
                    assertThat(guest.frontend().setConfig(WCE, 0, (byte) 1)).isTrue();
                    assertThat(writesThrough(queue, disk)).isFalse();
                }
            }
        }
    }

    @Test
    void shouldForgetTheChoiceWithTheFeatures() throws Exception {
        ScriptedDisk disk = new ScriptedDisk(1 << 20);
        try (EmulatorUnderTest emulator =
                        new EmulatorUnderTest.Setup(directory).driver(disk).start();
                Guest guest = Guest.connect(emulator)) {
            long features = guest.features();
            assertThat(guest.frontend().setConfig(WCE, 0, (byte) 0)).isTrue();
            assertThat(guest.frontend().setFeatures(0)).isTrue();
            assertThat(guest.frontend().setFeatures(features)).isTrue();
            assertThat(guest.frontend().getConfig(WCE, 1)).containsExactly(1);
            assertThat(writesThrough(guest.queue(), disk)).isFalse();
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.vublk.blockdev.BlockOptions;
import dev.vublk.blockdev.BlockOptions.Locking;
import dev.vublk.vhostuser.frontend.FrontendLog;
import dev.vublk.vhostuser.protocol.LogRegion;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** One image goes with its guest from one emulator to another, and is never in the hands of both. */
final class ImageHandOverTest {
    @TempDir
    private Path directory;

    private Path image = Path.of("");

    @BeforeEach
    void makeImage() throws IOException {
        image = Files.write(directory.resolve("disk.img"), new byte[1 << 20]);
    }

    private EmulatorUnderTest emulator(String name, Locking locking) throws IOException {
        return new EmulatorUnderTest.Setup(Files.createDirectories(directory.resolve(name)))
                .block(BlockOptions.of(image.toString()).withLocking(locking))
                .start();
    }

    private static boolean starts(GuestQueue queue) throws IOException {
        queue.setUp(0, queue.kickFd(), queue.callFd());
        return queue.enable();
    }

    /** As QEMU does at the end of a migration. */
    private static void moveAway(Guest guest, GuestQueue queue) throws Exception {
        try (FrontendLog log = FrontendLog.create(new LogRegion(256 << 10, 0))) {
            guest.setLogAll(true);
            assertThat(guest.frontend().setLogBase(log.region(), log.fd())).isTrue();
            assertThat(guest.frontend().setVringEnable(queue.index(), false)).isTrue();
            queue.stop();
        }
    }

    @Test
    void shouldGoWithTheGuest() throws Exception {
        byte[] data = new byte[4096];
        data[17] = 42;
        try (EmulatorUnderTest source = emulator("a", Locking.ON);
                EmulatorUnderTest destination = emulator("b", Locking.DEFERRED);
                Guest guest = Guest.connect(source);
                Guest arriving = Guest.connect(destination)) {
            GuestQueue queue = guest.queue();
            assertThat(queue.run(GuestRequest.write(0, data)).status()).isEqualTo(GuestRequest.OK);
            GuestQueue next = arriving.queue(0, 128);
            assertThat(starts(next)).as("while the guest is at the source").isFalse();
            moveAway(guest, queue);
            assertThat(next.enable()).isTrue();
            assertThat(next.run(GuestRequest.read(0, 4096)).answer()).isEqualTo(data);
            assertThat(queue.resume())
                    .as("at the source, while the guest is at the destination")
                    .isFalse();
            // And back.
            moveAway(arriving, next);
            assertThat(queue.enable()).isTrue();
            assertThat(queue.run(GuestRequest.read(0, 4096)).answer()).isEqualTo(data);
        }
    }

    @Test
    void shouldStayWhenTheGuestOnlyStops() throws Exception {
        try (EmulatorUnderTest source = emulator("a", Locking.ON);
                EmulatorUnderTest destination = emulator("b", Locking.DEFERRED);
                Guest arriving = Guest.connect(destination)) {
            GuestQueue next = arriving.queue(0, 128);
            try (Guest guest = Guest.connect(source)) {
                GuestQueue queue = guest.queue();
                queue.stop();
                assertThat(starts(next)).isFalse();
            }
            assertThat(next.enable()).isFalse();
        }
    }

    @Test
    void shouldComeBackWhenTheGuestStaysAfterAll() throws Exception {
        try (EmulatorUnderTest source = emulator("a", Locking.ON);
                Guest guest = Guest.connect(source)) {
            GuestQueue queue = guest.queue();
            moveAway(guest, queue);
            assertThat(queue.resume()).isTrue();
            assertThat(queue.run(GuestRequest.read(0, 512)).status()).isEqualTo(GuestRequest.OK);
            assertThatThrownBy(() -> emulator("b", Locking.ON)).hasMessageContaining("image is in use");
        }
    }

    /** The lock that was taken late is as good as one that was taken early. */
    @Test
    void shouldKeepOthersAwayOnceTaken() throws Exception {
        try (EmulatorUnderTest emulator = emulator("a", Locking.DEFERRED)) {
            emulator("b", Locking.ON).close();
            try (Guest guest = Guest.connect(emulator)) {
                assertThat(guest.queue().run(GuestRequest.read(0, 512)).status())
                        .isEqualTo(GuestRequest.OK);
            }
            assertThatThrownBy(() -> emulator("b", Locking.ON)).hasMessageContaining("image is in use");
        }
        emulator("b", Locking.ON).close();
    }

    @Test
    void shouldFlushBeforeItLetsGo() throws Exception {
        ScriptedDisk disk = new ScriptedDisk(1 << 20);
        try (EmulatorUnderTest emulator =
                        new EmulatorUnderTest.Setup(directory).driver(disk).start();
                Guest guest = Guest.connect(emulator)) {
            moveAway(guest, guest.queue());
            assertThat(disk.driverCalls()).containsExactly("activate", "flush", "deactivate");
        }
    }

    @Test
    void shouldNotLetGoOfWhatItCouldNotFlush() throws Exception {
        ScriptedDisk disk = new ScriptedDisk(1 << 20);
        disk.result(-5);
        try (EmulatorUnderTest emulator =
                        new EmulatorUnderTest.Setup(directory).driver(disk).start();
                Guest guest = Guest.connect(emulator)) {
            GuestQueue queue = guest.queue();
            moveAway(guest, queue);
            assertThat(disk.driverCalls()).containsExactly("activate", "flush");
            assertThat(queue.resume()).isTrue();
        }
    }
}

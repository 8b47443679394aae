// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.vublk.blockdev.BlockOptions;
import dev.vublk.vhostuser.frontend.BackendMessages;
import dev.vublk.vhostuser.protocol.BackendRequest;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A disk whose image grows or shrinks under a guest (virtio 1.2 section 5.2.4: capacity; vhost-user CONFIG_CHANGE_MSG). */
final class ResizeTest {
    private static final int SECTORS = 2048;

    @TempDir
    private Path directory;

    private Path image;

    @BeforeEach
    void createImage() throws IOException {
        image = directory.resolve("disk.img");
        setSectors(SECTORS);
    }

    private void setSectors(int sectors) throws IOException {
        try (RandomAccessFile file = new RandomAccessFile(image.toFile(), "rw")) {
            file.setLength(512L * sectors);
        }
    }

    private EmulatorUnderTest start() throws IOException {
        return new EmulatorUnderTest.Setup(directory)
                .block(BlockOptions.of(image.toString()))
                .ioThreads(2)
                .start();
    }

    private static long capacitySectors(Guest guest) throws IOException {
        return ByteBuffer.wrap(guest.frontend().getConfig(0, 8))
                .order(ByteOrder.LITTLE_ENDIAN)
                .getLong();
    }

    @Test
    void shouldGrowRunningQueuesAndTellTheFrontEnd() throws Exception {
        try (EmulatorUnderTest emulator = start();
                Guest guest = Guest.connect(emulator);
                BackendMessages messages = BackendMessages.open()) {
            assertThat(guest.frontend().setBackendReqFd(messages.passedFd())).isTrue();
            GuestQueue[] queues = {
                guest.queue(0, 16).start(), guest.queue(1, 16).start()
            };
            for (GuestQueue queue : queues) {
                assertThat(queue.run(GuestRequest.write(SECTORS, new byte[512])).status())
                        .isEqualTo(GuestRequest.IOERR);
            }

            setSectors(2 * SECTORS);
            emulator.refreshSizes();

            assertThat(messages.next()).isEqualTo(BackendRequest.CONFIG_CHANGE_MSG);
            assertThat(messages.needsReply()).isFalse();
            assertThat(messages.payload().remaining()).isZero();
            assertThat(capacitySectors(guest)).isEqualTo(2 * SECTORS);
            for (GuestQueue queue : queues) {
                assertThat(queue.run(GuestRequest.write(2 * SECTORS - 1, new byte[512]))
                                .status())
                        .isEqualTo(GuestRequest.OK);
                assertThat(queue.run(GuestRequest.read(2 * SECTORS, 512)).status())
                        .isEqualTo(GuestRequest.IOERR);
            }
            emulator.refreshSizes();
            assertThat(guest.frontend().getFeatures()).isNotZero(); // The control loop has been round.
            assertThat(messages.hasNext()).isFalse();
        }
    }

    @Test
    void shouldGrowWhenItIsAsked() throws Exception {
        try (EmulatorUnderTest emulator = start();
                Guest guest = Guest.connect(emulator);
                BackendMessages messages = BackendMessages.open()) {
            assertThat(guest.frontend().setBackendReqFd(messages.passedFd())).isTrue();
            GuestQueue queue = guest.queue();

            emulator.grow(512L * 3 * SECTORS);

            assertThat(Files.size(image)).isEqualTo(512L * 3 * SECTORS);
            assertThat(messages.next()).isEqualTo(BackendRequest.CONFIG_CHANGE_MSG);
            assertThat(capacitySectors(guest)).isEqualTo(3 * SECTORS);
            assertThat(queue.run(GuestRequest.write(3 * SECTORS - 1, new byte[512]))
                            .status())
                    .isEqualTo(GuestRequest.OK);

            emulator.grow(512L * 3 * SECTORS); // It is as large.
            for (long refused : new long[] {512L * SECTORS, 512L * 4 * SECTORS + 256, 0, -512}) {
                assertThatThrownBy(() -> emulator.grow(refused))
                        .isInstanceOf(IOException.class)
                        .hasMessageStartingWith(image.toString());
            }
            assertThat(guest.frontend().getFeatures()).isNotZero(); // The control loop has been round.
            assertThat(messages.hasNext()).isFalse();
            assertThat(Files.size(image)).isEqualTo(512L * 3 * SECTORS);
        }
    }

    @Test
    void shouldNotGrowWhatIsOnlyRead() throws Exception {
        try (EmulatorUnderTest emulator = new EmulatorUnderTest.Setup(directory)
                .block(BlockOptions.of(image.toString()).withReadOnly(true))
                .start()) {
            assertThatThrownBy(() -> emulator.grow(512L * 2 * SECTORS)).hasMessage(image + ": is served read-only");
            assertThat(Files.size(image)).isEqualTo(512L * SECTORS);
        }
        try (EmulatorUnderTest emulator = new EmulatorUnderTest.Setup(directory).start()) {
            assertThatThrownBy(() -> emulator.grow(1L << 30))
                    .hasMessage("a disk of this kind cannot be made larger while it is served");
        }
    }

    @Test
    void shouldShowTheNewSizeToTheNextFrontEnd() throws Exception {
        try (EmulatorUnderTest emulator = start()) {
            setSectors(3 * SECTORS);
            emulator.refreshSizes();
            try (Guest guest = Guest.connect(emulator)) {
                assertThat(capacitySectors(guest)).isEqualTo(3 * SECTORS);
                assertThat(guest.queue()
                                .run(GuestRequest.read(3 * SECTORS - 8, 4096))
                                .status())
                        .isEqualTo(GuestRequest.OK);
            }
        }
    }

    @Test
    void shouldKeepTheCapacityOfADiskThatShrinksAndFailBehindItsEnd() throws Exception {
        try (EmulatorUnderTest emulator = start();
                Guest guest = Guest.connect(emulator);
                BackendMessages messages = BackendMessages.open()) {
            assertThat(guest.frontend().setBackendReqFd(messages.passedFd())).isTrue();
            GuestQueue queue = guest.queue();

            setSectors(SECTORS / 2);
            emulator.refreshSizes();

            assertThat(capacitySectors(guest)).isEqualTo(SECTORS);
            assertThat(messages.hasNext()).isFalse();
            long lost = SECTORS / 2;
            GuestRequest[] requests = {
                GuestRequest.read(lost, 512),
                GuestRequest.write(lost, new byte[512]),
                GuestRequest.write(lost - 1, new byte[1024]),
                GuestRequest.ranges(GuestRequest.DISCARD, lost, 1, 0),
                GuestRequest.ranges(GuestRequest.WRITE_ZEROES, lost - 1, 2, 0),
                GuestRequest.ranges(GuestRequest.WRITE_ZEROES, lost, 1, 1)
            };
            for (GuestRequest request : requests) {
                assertThat(queue.run(request).status()).isEqualTo(GuestRequest.IOERR);
            }
            assertThat(queue.run(GuestRequest.write(lost - 1, new byte[512])).status())
                    .isEqualTo(GuestRequest.OK);
            assertThat(Files.size(image)).isEqualTo(512L * SECTORS / 2);
        }
    }
}

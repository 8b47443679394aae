// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator;

import static dev.vublk.emulator.GuestRequest.*;
import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.blockdev.BlockOptions;
import dev.vublk.vhostuser.frontend.BackendMessages;
import dev.vublk.vhostuser.protocol.BackendRequest;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** One disk, two guests at once. */
final class SharedDiskTest {
    private static final int WCE = 32;

    @TempDir
    private Path directory;

    private static byte[] pattern(int value) {
        byte[] bytes = new byte[4096];
        Arrays.fill(bytes, (byte) value);
        return bytes;
    }

    @Test
    void shouldShowEachGuestWhatTheOtherWrote() throws Exception {
        ScriptedDisk disk = new ScriptedDisk(4 << 20);
        try (EmulatorUnderTest emulator = new EmulatorUnderTest.Setup(directory)
                        .driver(disk)
                        .clients(2)
                        .ioThreads(2)
                        .start();
                Guest first = Guest.connect(emulator);
                Guest second = Guest.connect(emulator)) {
            GuestQueue[] queues = {
                first.queue(),
                second.queue(),
                first.queue(1, 64).start(),
                second.queue(1, 64).start()
            };
            for (int i = 0; i < queues.length; i++) {
                assertThat(queues[i].run(write(8L * i, pattern(i + 1))).status())
                        .isEqualTo(OK);
            }
            for (int i = 0; i < queues.length; i++) {
                GuestRequest read = queues[queues.length - 1 - i].run(read(8L * i, 4096));
                assertThat(read.answer()).isEqualTo(pattern(i + 1));
            }
        }
    }

    /** The write cache is each guest's own choice: one that chose write-through must find its writes stable. */
    @Test
    void shouldKeepWriteCachesApart() throws Exception {
        ScriptedDisk disk = new ScriptedDisk(4 << 20);
        try (EmulatorUnderTest emulator = new EmulatorUnderTest.Setup(directory)
                        .driver(disk)
                        .clients(2)
                        .start();
                Guest through = Guest.connect(emulator);
                Guest back = Guest.connect(emulator)) {
            GuestQueue throughQueue = through.queue();
            GuestQueue backQueue = back.queue();
            assertThat(through.frontend().setConfig(WCE, 0, (byte) 0)).isTrue();
            assertThat(back.frontend().getConfig(WCE, 1)).containsExactly(1);

            assertThat(throughQueue.run(write(0, new byte[512])).status()).isEqualTo(OK);
            assertThat(disk.nextCall().fua()).isTrue();
            assertThat(backQueue.run(write(0, new byte[512])).status()).isEqualTo(OK);
            assertThat(disk.nextCall().fua()).isFalse();
            assertThat(backQueue.run(GuestRequest.of(FLUSH, 0)).status()).isEqualTo(OK);
            assertThat(disk.nextCall().name()).isEqualTo("flush");
        }
    }

    @Test
    void shouldNotDisturbOneGuestWhenTheOtherLeaves() throws Exception {
        ScriptedDisk disk = new ScriptedDisk(4 << 20);
        try (EmulatorUnderTest emulator = new EmulatorUnderTest.Setup(directory)
                        .driver(disk)
                        .clients(2)
                        .start();
                Guest staying = Guest.connect(emulator)) {
            GuestQueue queue = staying.queue();
            disk.hold();
            Guest leaving = Guest.connect(emulator);
            leaving.queue().submit(read(0, 512));
            disk.nextCall();
            GuestRequest slow = queue.submit(read(8, 512));
            disk.nextCall();
            leaving.frontend().close();
            assertThat(staying.frontend().getFeatures()).isNotZero(); // The other is waited for, not by this one.
            disk.release();
            assertThat(queue.awaitOne()).isSameAs(slow);
            assertThat(slow.status()).isEqualTo(OK);
            try (Guest next = Guest.connect(emulator)) {
                assertThat(next.queue().run(read(0, 512)).status()).isEqualTo(OK);
            }
            leaving.close();
        }
    }

    /** Two guests on one real file, at random; each has its half to write, and reads all. */
    @Test
    void shouldServeTwoGuestsOnOneFile() throws Exception {
        long seed = Long.getLong("vublk.seed", System.nanoTime());
        System.out.println("SharedDiskTest: -Dvublk.seed=" + seed);
        Random random = new Random(seed);
        Path image = image(1 << 20);
        byte[] expected = new byte[1 << 20];
        try (EmulatorUnderTest emulator = new EmulatorUnderTest.Setup(directory)
                        .block(BlockOptions.of(image.toString()))
                        .clients(2)
                        .ioThreads(2)
                        .start();
                Guest first = Guest.connect(emulator);
                Guest second = Guest.connect(emulator)) {
            GuestQueue[] queues = {first.queue(), second.queue()};
            for (int i = 0; i < 300; i++) {
                int guest = random.nextInt(2);
                int block = 2 * random.nextInt(128) + guest;
                byte[] data = pattern(random.nextInt(256));
                assertThat(queues[guest].run(write(8L * block, data)).status()).isEqualTo(OK);
                System.arraycopy(data, 0, expected, 4096 * block, 4096);
                int from = 4096 * random.nextInt(255);
                assertThat(queues[1 - guest].run(read(from / 512, 8192)).answer())
                        .as("seed %d, step %d", seed, i)
                        .isEqualTo(Arrays.copyOfRange(expected, from, from + 8192));
            }
        }
    }

    @Test
    void shouldTellBothGuestsOfANewSize() throws Exception {
        Path image = image(1 << 20);
        try (EmulatorUnderTest emulator = new EmulatorUnderTest.Setup(directory)
                        .block(BlockOptions.of(image.toString()))
                        .clients(2)
                        .start();
                Guest first = Guest.connect(emulator);
                Guest second = Guest.connect(emulator);
                BackendMessages toFirst = BackendMessages.open();
                BackendMessages toSecond = BackendMessages.open()) {
            assertThat(first.frontend().setBackendReqFd(toFirst.passedFd())).isTrue();
            assertThat(second.frontend().setBackendReqFd(toSecond.passedFd())).isTrue();
            image(2 << 20);
            emulator.refreshSizes();
            assertThat(toFirst.next()).isEqualTo(BackendRequest.CONFIG_CHANGE_MSG);
            assertThat(toSecond.next()).isEqualTo(BackendRequest.CONFIG_CHANGE_MSG);
            for (Guest guest : new Guest[] {first, second}) {
                assertThat(guest.queue().run(write(4095, new byte[512])).status())
                        .isEqualTo(OK);
            }
        }
    }

    private Path image(long sizeBytes) throws IOException {
        Path image = directory.resolve("disk.img");
        try (RandomAccessFile file = new RandomAccessFile(image.toFile(), "rw")) {
            file.setLength(sizeBytes);
        }
        return image;
    }
}

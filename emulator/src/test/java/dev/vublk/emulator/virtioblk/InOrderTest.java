// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import static dev.vublk.emulator.GuestRequest.*;
import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.emulator.EmulatorUnderTest;
import dev.vublk.emulator.Guest;
import dev.vublk.emulator.GuestQueue;
import dev.vublk.emulator.GuestRequest;
import dev.vublk.emulator.ScriptedDisk;
import dev.vublk.vhostuser.session.OptionalFeature;
import dev.vublk.vhostuser.session.SessionOptions;
import dev.vublk.vhostuser.virtqueue.VirtioFeature;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** VIRTIO_F_IN_ORDER (virtio 1.2 section 2.6.9): used elements come in the order in which chains were made available. */
final class InOrderTest {
    @TempDir
    Path directory;

    private final ScriptedDisk disk = new ScriptedDisk(4 << 20);
    private EmulatorUnderTest emulator;

    @BeforeEach
    void start() throws Exception {
        emulator = new EmulatorUnderTest.Setup(directory)
                .driver(disk)
                .session(SessionOptions.DEFAULT.with(OptionalFeature.IN_ORDER))
                .start();
    }

    @AfterEach
    void stop() {
        disk.release();
        emulator.close();
    }

    private static GuestRequest serial() {
        return GuestRequest.of(GET_ID, 0).room(20);
    }

    private static void passOnTheIoThread(GuestQueue queue) throws Exception {
        queue.replaceCallFd();
        queue.replaceCallFd();
    }

    @Test
    void shouldReturnRequestsInTheOrderTheyCame() throws Exception {
        try (Guest guest = Guest.connect(emulator)) {
            GuestQueue queue = guest.queue();
            disk.hold();
            GuestRequest slow = queue.submit(read(0, 512));
            GuestRequest fast = queue.submit(serial());
            GuestRequest bad = queue.submit(read(1 << 20, 512));
            disk.nextCall();
            passOnTheIoThread(queue);
            assertThat(queue.poll()).isNull();

            disk.release();

            assertThat(queue.awaitOne()).isSameAs(slow);
            assertThat(queue.take()).isSameAs(fast);
            assertThat(queue.take()).isSameAs(bad);
            assertThat(slow.status()).isEqualTo(OK);
            assertThat(slow.usedBytes()).isEqualTo(513);
            assertThat(fast.status()).isEqualTo(OK);
            assertThat(fast.usedBytes()).isEqualTo(21);
            assertThat(bad.status()).isEqualTo(IOERR);
        }
    }

    /** What makes the test above able to fail. */
    @Test
    void shouldReturnFastRequestsFirstToADriverThatDidNotAsk() throws Exception {
        try (Guest guest = Guest.connect(emulator, VirtioFeature.VIRTIO_F_IN_ORDER)) {
            GuestQueue queue = guest.queue();
            disk.hold();
            GuestRequest slow = queue.submit(read(0, 512));
            GuestRequest fast = queue.submit(serial());
            assertThat(queue.awaitOne()).isSameAs(fast);
            disk.release();
            assertThat(queue.awaitOne()).isSameAs(slow);
        }
    }

    /** A full ring of requests that finish in any order, again and again. */
    @Test
    void shouldKeepTheOrderOfManyRequests() throws Exception {
        long seed = Long.getLong("vublk.seed", System.nanoTime());
        System.out.println("InOrderTest: -Dvublk.seed=" + seed);
        Random random = new Random(seed);
        try (Guest guest = Guest.connect(emulator)) {
            GuestQueue queue = guest.queue(0, 64).start();
            for (int round = 0; round < 50; round++) {
                disk.hold();
                List<GuestRequest> submitted = new ArrayList<>();
                for (int i = 0; i < 21; i++) { // Three descriptors each.
                    boolean atOnce = random.nextBoolean();
                    submitted.add(queue.submit(atOnce ? serial() : read(random.nextInt(1000), 512)));
                }
                disk.release();
                for (GuestRequest request : submitted) {
                    assertThat(queue.awaitOne())
                            .as("seed %d, round %d", seed, round)
                            .isSameAs(request);
                    assertThat(request.status()).isEqualTo(OK);
                }
            }
        }
    }

    /** A stop drains what waits for its turn, too. */
    @Test
    void shouldReturnAllWhenTheQueueStops() throws Exception {
        try (Guest guest = Guest.connect(emulator)) {
            GuestQueue queue = guest.queue();
            disk.hold();
            GuestRequest slow = queue.submit(read(0, 512));
            GuestRequest fast = queue.submit(serial());
            disk.nextCall();
            passOnTheIoThread(queue);
            Thread releasing = Thread.ofPlatform().start(disk::release);
            assertThat(queue.stop()).isEqualTo(2);
            releasing.join();
            assertThat(queue.take()).isSameAs(slow);
            assertThat(queue.take()).isSameAs(fast);
        }
    }

    /** A fault of the disk's own breaks the queue; what waits behind it must not keep the queue from stopping. */
    @Test
    void shouldStopABrokenQueue() throws Exception {
        try (Guest guest = Guest.connect(emulator)) {
            GuestQueue queue = guest.queue();
            disk.hold();
            queue.submit(read(0, 512));
            queue.submit(serial());
            disk.nextCall();
            disk.throwing(new ScriptedDisk.Fault());
            disk.release();
            queue.awaitBroken();
            queue.stop();
            assertThat(queue.poll()).isNull();
            disk.throwing(null);
        }
    }
}

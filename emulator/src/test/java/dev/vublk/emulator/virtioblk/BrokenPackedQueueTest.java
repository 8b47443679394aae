// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import static dev.vublk.emulator.GuestRequest.*;
import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.emulator.EmulatorUnderTest;
import dev.vublk.emulator.Guest;
import dev.vublk.emulator.GuestQueue;
import dev.vublk.emulator.RingKind;
import dev.vublk.emulator.ScriptedDisk;
import java.nio.file.Path;
import java.util.function.BiConsumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** As {@link BrokenQueueTest}, with what only the driver of a packed ring can do. */
final class BrokenPackedQueueTest {
    private static final int SIZE = 5;
    private static final int NEXT = 1;
    private static final int WRITE = 2;
    private static final int INDIRECT = 4;

    enum Breakage {
        NO_ROOM_FOR_A_STATUS((guest, queue) -> queue.add(of(FLUSH, 0).withoutStatus())),
        OUTSIDE_MEMORY((guest, queue) -> one(queue, -Guest.GUEST_ADDRESS, 16, 0)),
        BEYOND_THE_END_OF_MEMORY((guest, queue) -> one(queue, guest.memory().sizeBytes() - 1, 2, WRITE)),
        ROUND_THE_RING((guest, queue) -> {
            for (int i = 0; i < SIZE; i++) {
                one(queue, 0, 16, NEXT);
            }
        }),
        READABLE_BEHIND_WRITABLE((guest, queue) -> {
            one(queue, 0, 16, WRITE | NEXT);
            one(queue, 0, 16, 0);
        }),
        INDIRECT_AND_NEXT((guest, queue) -> one(queue, 0, 16, INDIRECT | NEXT)),
        INDIRECT_BEHIND_NEXT((guest, queue) -> {
            one(queue, 0, 16, NEXT);
            one(queue, 0, 16, INDIRECT);
        }),
        INDIRECT_OF_A_BROKEN_LENGTH((guest, queue) -> one(queue, 0, 17, INDIRECT)),
        INDIRECT_TOO_LONG((guest, queue) -> one(queue, 0, 1025 * 16, INDIRECT));

        @SuppressWarnings("ImmutableEnumChecker") // lambdas without state
        private final BiConsumer<Guest, GuestQueue> act;

        Breakage(BiConsumer<Guest, GuestQueue> act) {
            this.act = act;
        }

        private static void one(GuestQueue queue, long offset, int length, int flags) {
            queue.packedRing().rawAdd(Guest.GUEST_ADDRESS + offset, length, 0, flags);
        }
    }

    @TempDir
    Path directory;

    private final ScriptedDisk disk = new ScriptedDisk(1 << 20);
    private EmulatorUnderTest emulator;
    private Guest guest;
    private GuestQueue queue;
    private GuestQueue other;

    @BeforeEach
    void start() throws Exception {
        emulator = new EmulatorUnderTest.Setup(directory).driver(disk).start();
        guest = Guest.connect(emulator, RingKind.PACKED);
        queue = guest.queue(0, SIZE).start();
        other = guest.queue(1, SIZE).start();
    }

    @AfterEach
    void stop() {
        disk.release();
        guest.close();
        emulator.close();
    }

    @ParameterizedTest
    @EnumSource
    void shouldBreakOnlyTheQueue(Breakage breakage) throws Exception {
        breakage.act.accept(guest, queue);
        queue.publish();
        queue.kick();
        queue.awaitBroken();
        assertThat(other.run(read(0, 512)).status()).isEqualTo(OK);
        assertThat(queue.ring().returnedCount()).isZero();
        assertThat(queue.isErrorSignalled()).as("told once").isFalse();
        queue.stop();
        queue.ring().reset();
        queue.start();
        assertThat(queue.run(read(0, 512)).status()).isEqualTo(OK);
    }

    @Test
    void shouldBreakAQueueWithMoreDescriptorsThanTheRingHas() throws Exception {
        disk.hold();
        for (int i = 0; i < SIZE; i++) {
            queue.submit(of(FLUSH, 0).indirect());
            disk.nextCall();
        }
        queue.packedRing().rawAdd(Guest.GUEST_ADDRESS, 16, 0, 0);
        queue.publish();
        queue.kick();
        queue.awaitBroken();
        disk.release();
        assertThat(other.run(read(0, 512)).status()).isEqualTo(OK);
        queue.stop();
        assertThat(queue.ring().returnedCount())
                .as("a broken ring gets nothing more written")
                .isZero();
        assertThat(disk.underWay()).isZero();
    }
}

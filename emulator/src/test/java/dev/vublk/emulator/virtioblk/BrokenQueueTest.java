// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import static dev.vublk.emulator.GuestRequest.*;
import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.emulator.EmulatorUnderTest;
import dev.vublk.emulator.Guest;
import dev.vublk.emulator.GuestQueue;
import dev.vublk.emulator.GuestRequest;
import dev.vublk.emulator.ScriptedDisk;
import dev.vublk.vhostuser.frontend.SplitDriverVirtqueue;
import java.nio.file.Path;
import java.util.function.BiConsumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What no driver may do breaks its queue, tells the front end by VRING_ERR, and harms nobody else. */
final class BrokenQueueTest {
    private static final int SIZE = 4;
    private static final int NEXT = 1;
    private static final int WRITE = 2;
    private static final int INDIRECT = 4;

    enum Breakage {
        HEAD_BEYOND_THE_TABLE((guest, queue) -> queue.splitRing().rawAvailable(SIZE)),
        AVAIL_INDEX_TOO_FAR_AHEAD((guest, queue) -> queue.splitRing().rawAvailIdx(SIZE + 1)),
        AVAIL_INDEX_BACKWARDS((guest, queue) -> queue.splitRing().rawAvailIdx(-1)),
        NO_ROOM_FOR_A_STATUS((guest, queue) -> queue.add(of(FLUSH, 0).withoutStatus())),
        EMPTY_CHAIN((guest, queue) -> one(queue, 0, 0, 0)),
        OUTSIDE_MEMORY((guest, queue) -> one(queue, -Guest.GUEST_ADDRESS, 16, 0)),
        BEYOND_THE_END_OF_MEMORY((guest, queue) -> one(queue, guest.memory().sizeBytes() - 1, 2, WRITE)),
        LOOP((guest, queue) -> one(queue, 0, 16, NEXT)),
        NEXT_BEYOND_THE_TABLE((guest, queue) -> {
            queue.splitRing().rawDescriptor(0, Guest.GUEST_ADDRESS, 16, NEXT, SIZE);
            queue.splitRing().rawAvailable(0);
        }),
        READABLE_BEHIND_WRITABLE((guest, queue) -> {
            queue.splitRing().rawDescriptor(0, Guest.GUEST_ADDRESS, 16, WRITE | NEXT, 1);
            queue.splitRing().rawDescriptor(1, Guest.GUEST_ADDRESS, 16, 0, 0);
            queue.splitRing().rawAvailable(0);
        }),
        INDIRECT_AND_NEXT((guest, queue) -> one(queue, 0, 16, INDIRECT | NEXT)),
        INDIRECT_OF_NO_DESCRIPTORS((guest, queue) -> one(queue, 0, 0, INDIRECT)),
        INDIRECT_OF_A_BROKEN_LENGTH((guest, queue) -> one(queue, 0, 17, INDIRECT)),
        INDIRECT_TOO_LONG((guest, queue) -> one(queue, 0, 1025 * 16, INDIRECT)),
        INDIRECT_NESTED((guest, queue) -> {
            long table = guest.memory().hostAddress() + guest.memory().sizeBytes() - 64;
            SplitDriverVirtqueue.rawDescriptorAt(table, Guest.GUEST_ADDRESS, 16, INDIRECT, 0);
            one(queue, guest.memory().sizeBytes() - 64, 16, INDIRECT);
        });

        @SuppressWarnings("ImmutableEnumChecker") // lambdas without state
        private final BiConsumer<Guest, GuestQueue> act;

        Breakage(BiConsumer<Guest, GuestQueue> act) {
            this.act = act;
        }

        private static void one(GuestQueue queue, long offset, int length, int flags) {
            queue.splitRing().rawDescriptor(0, Guest.GUEST_ADDRESS + offset, length, flags, 0);
            queue.splitRing().rawAvailable(0);
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
        guest = Guest.connect(emulator);
        queue = guest.queue(0, SIZE).start();
        other = guest.queue(1, SIZE).start();
    }

    @AfterEach
    void stop() {
        disk.release();
        guest.close();
        emulator.close();
    }

    /** The others work, this one takes and returns nothing, and can be stopped and started anew. */
    private void checkOnlyThisOneIsBroken(int usedIdx) throws Exception {
        queue.awaitBroken();
        assertThat(other.run(read(0, 512)).status()).isEqualTo(OK);
        queue.kick();
        assertThat(other.run(read(0, 512)).status()).isEqualTo(OK);
        assertThat(queue.ring().returnedCount()).isEqualTo(usedIdx);
        assertThat(queue.isErrorSignalled()).as("told once").isFalse();
        assertThat(other.isErrorSignalled()).isFalse();
        queue.stop();
        queue.ring().reset();
        queue.start();
        assertThat(queue.run(read(0, 512)).status()).isEqualTo(OK);
    }

    @ParameterizedTest
    @EnumSource
    void shouldBreakOnlyTheQueue(Breakage breakage) throws Exception {
        breakage.act.accept(guest, queue);
        if (breakage != Breakage.AVAIL_INDEX_TOO_FAR_AHEAD && breakage != Breakage.AVAIL_INDEX_BACKWARDS) {
            queue.publish();
        }
        queue.kick();
        checkOnlyThisOneIsBroken(0);
    }

    @Test
    void shouldBreakAQueueWithMoreChainsThanDescriptors() throws Exception {
        disk.hold();
        for (int i = 0; i < SIZE; i++) {
            flushInOneDescriptorEach();
            disk.nextCall();
        }
        queue.splitRing().rawAvailable(0);
        queue.publish();
        queue.kick();
        queue.awaitBroken();
        disk.release();
        checkAfterBreakage();
    }

    /** With an indirect table a request takes one descriptor: as many fit as the ring has. */
    private void flushInOneDescriptorEach() {
        queue.submit(of(FLUSH, 0).indirect());
    }

    private void checkAfterBreakage() throws Exception {
        assertThat(other.run(read(0, 512)).status()).isEqualTo(OK);
        assertThat(queue.stop()).isEqualTo(SIZE);
        assertThat(queue.ring().returnedCount())
                .as("a broken ring gets nothing more written")
                .isZero();
        assertThat(disk.underWay()).isZero();
    }

    @Test
    void shouldReturnAHeadThatIsReusedInFlightAsOftenAsItWasTaken() throws Exception {
        disk.hold();
        queue.submit(read(0, 512));
        disk.nextCall();
        queue.splitRing().rawAvailable(0);
        queue.publish();
        queue.kick();
        disk.nextCall();
        disk.release();
        queue.stop();
        assertThat(queue.ring().returnedCount()).isEqualTo(2);
        assertThat(queue.isErrorSignalled()).isFalse();
        assertThat(other.run(read(0, 512)).status()).isEqualTo(OK);
    }

    @Test
    void shouldBreakTheQueueOnAFaultOfOurOwn() throws Exception {
        disk.throwing(new ScriptedDisk.Fault());
        queue.submit(read(0, 512));
        queue.awaitBroken();
        disk.throwing(null);
        assertThat(other.run(read(0, 512)).status()).isEqualTo(OK);
        assertThat(queue.stop()).isEqualTo(1);
    }

    @Test
    void shouldBreakTheQueueOnAFaultAfterAWaitAndStillDrain() throws Exception {
        disk.hold();
        queue.submit(of(FLUSH, 0).indirect());
        queue.submit(of(FLUSH, 0).indirect());
        disk.nextCall();
        disk.nextCall();
        disk.throwing(new ScriptedDisk.Fault());
        disk.release();
        queue.awaitBroken();
        disk.throwing(null);
        assertThat(queue.stop()).isEqualTo(2);
        GuestRequest read = other.run(read(0, 512));
        assertThat(read.status()).isEqualTo(OK);
    }
}

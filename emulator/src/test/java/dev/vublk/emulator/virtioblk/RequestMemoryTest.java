// SPDX-License-Identifier: Apache-2.0
package dev.vublk.emulator.virtioblk;

import static dev.vublk.emulator.GuestRequest.OK;
import static dev.vublk.emulator.GuestRequest.read;
import static org.assertj.core.api.Assertions.assertThat;

import dev.vublk.emulator.EmulatorUnderTest;
import dev.vublk.emulator.Guest;
import dev.vublk.emulator.GuestQueue;
import dev.vublk.emulator.GuestRequest;
import dev.vublk.emulator.RingKind;
import dev.vublk.emulator.ScriptedDisk;
import dev.vublk.vhostuser.virtqueue.IoVectors;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What a guest can make a session allocate for its requests is bounded; at the bound they wait their turn. */
final class RequestMemoryTest {
    private static final int QUEUE_SIZE = 256;
    private static final int SEGMENTS = 126;
    private static final int RANGES = 16;

    /** A request whose chain needs the longest array there is. */
    private static final int LONGEST = 1024;

    @TempDir
    Path directory;

    private final Queue<Runnable> tasks = new ArrayDeque<>();
    private final List<RequestSlots> open = new ArrayList<>();
    private final List<VirtioBlkRequest> inUse = new ArrayList<>();

    @AfterEach
    void freeSlots() {
        open.forEach(RequestSlots::close);
    }

    private RequestSlots join(RequestMemory memory, int queueSize) {
        RequestSlots slots = new RequestSlots(tasks::add, memory, queueSize, SEGMENTS, RANGES);
        memory.join(slots);
        open.add(slots);
        return slots;
    }

    /** What a queue does for each request: asks, takes a slot, fills it. Returns whether it may. */
    private boolean takeOne(RequestSlots slots, int inFlight, int buffers) {
        if (!slots.mayTake(inFlight)) {
            return false;
        }
        VirtioBlkRequest request = slots.take();
        request.chain.buffers().clear();
        for (int i = 0; i < buffers; i++) {
            request.chain.buffers().add(0, 1);
        }
        slots.onFilled(request);
        inUse.add(request);
        return true;
    }

    private int takeAll(RequestSlots slots, int queueSize, int buffers) {
        int taken = 0;
        while (taken < queueSize && takeOne(slots, taken, buffers)) {
            taken++;
        }
        return taken;
    }

    @Test
    void shouldHaveRoomForAFullQueueOfOrdinaryRequests() {
        RequestMemory memory = new RequestMemory();
        RequestSlots slots = join(memory, QUEUE_SIZE);
        assertThat(takeAll(slots, QUEUE_SIZE, SEGMENTS + 2)).isEqualTo(QUEUE_SIZE);
        assertThat(memory.usedBytes()).isEqualTo(memory.limitBytes());
    }

    @Test
    void shouldCountWhatIsReallyThere() {
        RequestMemory memory = new RequestMemory();
        RequestSlots slots = join(memory, QUEUE_SIZE);
        assertThat(memory.usedBytes()).as("made lazily").isZero();
        takeOne(slots, 0, 3);
        assertThat(memory.usedBytes()).isEqualTo(VirtioBlkRequest.bytes(3, RANGES));
        takeOne(slots, 1, LONGEST);
        assertThat(memory.usedBytes())
                .isEqualTo(VirtioBlkRequest.bytes(3, RANGES) + VirtioBlkRequest.bytes(LONGEST, RANGES));
        assertThat(VirtioBlkRequest.bytes(LONGEST, RANGES)).isGreaterThan((long) LONGEST * IoVectors.IOVEC_BYTES);
        slots.close();
        assertThat(memory.usedBytes()).isZero();
    }

    @Test
    void shouldBoundWhatTheLongestChainsOnAllQueuesTake() {
        RequestMemory memory = new RequestMemory();
        int taken = 0;
        for (int i = 0; i < 64; i++) {
            join(memory, 1024);
        }
        assertThat(memory.limitBytes()).isEqualTo(RequestMemory.SESSION_BYTES_MAX);
        for (RequestSlots slots : open) {
            taken += takeAll(slots, 1024, LONGEST);
        }
        assertThat(taken).as("each queue goes on").isGreaterThan(64 + 400);
        assertThat(memory.usedBytes())
                .isLessThanOrEqualTo(RequestMemory.SESSION_BYTES_MAX + 64 * VirtioBlkRequest.bytes(LONGEST, RANGES));
    }

    @Test
    void shouldLetEveryQueueHaveOneRequestWhateverTheOthersHold() {
        RequestMemory memory = new RequestMemory(1);
        RequestSlots first = join(memory, QUEUE_SIZE);
        RequestSlots second = join(memory, QUEUE_SIZE);
        assertThat(takeAll(first, QUEUE_SIZE, 3)).isEqualTo(1);
        assertThat(takeAll(second, QUEUE_SIZE, 3)).isEqualTo(1);
    }

    @Test
    void shouldTakeFromIdleQueuesWhatTheyKeep() {
        RequestMemory memory = new RequestMemory(64 * VirtioBlkRequest.bytes(3, RANGES));
        RequestSlots idle = join(memory, QUEUE_SIZE);
        RequestSlots busy = join(memory, QUEUE_SIZE);
        assertThat(takeAll(idle, 63, 3)).isEqualTo(63);
        inUse.forEach(idle::putBack);
        assertThat(takeAll(busy, QUEUE_SIZE, 3)).as("the idle one has all").isEqualTo(1);
        assertThat(busy.mayTake(1)).isFalse();
        assertThat(tasks).as("each queue is asked once").hasSize(2);
        tasks.forEach(Runnable::run);
        assertThat(memory.usedBytes()).isEqualTo(VirtioBlkRequest.bytes(3, RANGES));
        assertThat(memory.isShort()).isFalse();
        assertThat(busy.mayTake(1)).isTrue();
    }

    @Test
    void shouldKeepNoSlotThatEndsDuringAShortage() {
        long small = VirtioBlkRequest.bytes(3, RANGES);
        RequestMemory memory = new RequestMemory(8 * small);
        RequestSlots slots = join(memory, QUEUE_SIZE);
        assertThat(takeAll(slots, QUEUE_SIZE, 3)).isEqualTo(8);
        assertThat(memory.isShort()).isTrue();
        slots.putBack(inUse.get(0));
        slots.putBack(inUse.get(5));
        assertThat(memory.usedBytes()).isEqualTo(6 * small);
        assertThat(slots.mayTake(6)).isTrue();
        slots.putBack(inUse.get(7));
        assertThat(memory.isShort()).as("a quarter and more is free").isFalse();
        slots.putBack(inUse.get(6));
        assertThat(memory.usedBytes()).as("kept again").isEqualTo(5 * small);
    }

    @Test
    void shouldForgetQueuesThatHaveStopped() {
        RequestMemory memory = new RequestMemory();
        RequestSlots slots = join(memory, QUEUE_SIZE);
        long limit = memory.limitBytes();
        RequestSlots other = join(memory, QUEUE_SIZE);
        assertThat(memory.limitBytes()).isEqualTo(2 * limit);
        memory.leave(other);
        memory.leave(slots);
        assertThat(memory.limitBytes()).isZero();
    }

    /** On the whole path: chains of 1000 buffers, on two queues and loops, and a memory that holds a fraction of them. */
    @ParameterizedTest
    @EnumSource(RingKind.class)
    void shouldServeAllRequestsAtTheBound(RingKind rings) throws Exception {
        ScriptedDisk disk = new ScriptedDisk(1 << 20).hold();
        int depth = 120;
        try (EmulatorUnderTest emulator = new EmulatorUnderTest.Setup(directory)
                        .driver(disk)
                        .ioThreads(2)
                        .start();
                Guest guest = Guest.connect(emulator, rings)) {
            List<GuestQueue> queues =
                    List.of(guest.queue(0, 128).start(), guest.queue(1, 128).start());
            for (GuestQueue queue : queues) {
                for (int i = 0; i < depth; i++) {
                    queue.add(longRead());
                }
                queue.publishAndKick();
            }
            // What two queues of 128 may take together, and one slot more on each.
            long limit = 2 * 128 * VirtioBlkRequest.bytes(SEGMENTS + 2, RANGES);
            long slot = VirtioBlkRequest.bytes(LONGEST, RANGES);
            long most = limit / slot + 2;
            for (int i = 0; i < limit / slot; i++) {
                disk.nextCall();
            }
            queues.get(0).replaceCallFd(); // Goes through the loop: nothing more has been begun meanwhile.
            queues.get(1).replaceCallFd();
            assertThat((long) disk.underWay()).isBetween(limit / slot, most);
            disk.release();
            for (GuestQueue queue : queues) {
                for (int i = 0; i < depth; i++) {
                    GuestRequest done = queue.awaitOne();
                    assertThat(done.status()).isEqualTo(OK);
                }
                queue.stop();
            }
        }
    }

    private static GuestRequest longRead() {
        int[] cut = new int[999];
        java.util.Arrays.fill(cut, 1);
        return read(0, 1024).cutWritable(cut).indirect();
    }
}
